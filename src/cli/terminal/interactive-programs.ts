/** Programs that, called without arguments, are there to be talked to, and without a terminal end at once. */

const PROGRAMS: ReadonlySet<string> = new Set([
  ...["bash", "sh", "zsh", "fish", "dash", "python", "python3", "ipython", "node", "deno", "irb", "psql", "sqlite3"],
  ...["vi", "vim", "nvim", "nano", "emacs", "top", "htop", "tmux", "screen"],
]);
/** Options that change nothing about that. */
const LOGIN = new Set(["-l", "-i", "--login", "--norc"]);

/** The program's name if somebody who starts this expects a terminal. */
export function findInteractiveProgram([file, ...args]: readonly string[]): string | undefined {
  const name = file?.split("/").at(-1);
  if (name === undefined || !PROGRAMS.has(name)) return undefined;
  return args.every((word) => LOGIN.has(word)) ? name : undefined;
}
