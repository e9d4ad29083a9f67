/** Names that `processKill` takes: those of Deno's `Signal` type that Linux has. */

const SIGNAL_NAMES: ReadonlySet<string> = new Set([
  "SIGABRT",
  "SIGALRM",
  "SIGBUS",
  "SIGCHLD",
  "SIGCONT",
  "SIGFPE",
  "SIGHUP",
  "SIGILL",
  "SIGINT",
  "SIGIO",
  "SIGKILL",
  "SIGPIPE",
  "SIGPOLL",
  "SIGPROF",
  "SIGPWR",
  "SIGQUIT",
  "SIGSEGV",
  "SIGSTKFLT",
  "SIGSTOP",
  "SIGSYS",
  "SIGTERM",
  "SIGTRAP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGUSR1",
  "SIGUSR2",
  "SIGVTALRM",
  "SIGWINCH",
  "SIGXCPU",
  "SIGXFSZ",
]);

/** Older names of two of them, which the agent need not know. */
const SYNONYMS: Readonly<Record<string, string>> = { SIGPOLL: "SIGIO", SIGUNUSED: "SIGSYS" };

/** The agent's name for a signal, or undefined if there is no such signal. */
export function findSignal(name: string): string | undefined {
  const known = Object.hasOwn(SYNONYMS, name) ? SYNONYMS[name] : name;
  return known !== undefined && SIGNAL_NAMES.has(known) ? known : undefined;
}
