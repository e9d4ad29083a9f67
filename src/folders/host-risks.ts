/**
 * Files that programs of the host run or obey without being asked: a hook of git, the settings of an editor, a shell's
 * profile. A guest that may write to a project can leave a command for its owner there. Such files are not refused
 * (cloning a repository makes some), but they are pointed out.
 */

/** Names of files and directories below which everything counts, as they are seen from anywhere in a tree. */
const RISKY_DIRECTORIES: Readonly<Record<string, string>> = {
  ".vscode": "settings and tasks of an editor",
  ".idea": "settings and tasks of an editor",
  ".devcontainer": "commands that an editor runs",
  ".husky": "hooks of git",
  ".githooks": "hooks of git",
  ".direnv": "settings of a shell",
};

const RISKY_FILES: Readonly<Record<string, string>> = {
  // A whole repository that was moved here, or a file that says where it is.
  ".git": "where git finds its settings and hooks",
  ".envrc": "commands that direnv runs",
  ".autoenv": "commands that a shell runs",
  ".bashrc": "commands that a shell runs",
  ".bash_profile": "commands that a shell runs",
  ".bash_login": "commands that a shell runs",
  ".bash_logout": "commands that a shell runs",
  ".profile": "commands that a shell runs",
  ".zshrc": "commands that a shell runs",
  ".zshenv": "commands that a shell runs",
  ".zprofile": "commands that a shell runs",
  ".zlogin": "commands that a shell runs",
  ".gitconfig": "settings of git that can run commands",
  ".gitmodules": "where git fetches from",
  ".npmrc": "settings of a package manager",
  ".pre-commit-config.yaml": "hooks of git",
  ".mise.toml": "settings of a shell",
  ".tool-versions": "settings of a shell",
};

/** Of a repository's own directory: what git runs, or what tells it what to run. */
const RISKY_IN_GIT = new Set(["hooks", "config", "config.worktree", "modules", "info"]);

/**
 * Why a file deserves a look before anything is done with its directory on the host; undefined if it does not. Case is
 * not told apart: some file systems do not.
 *
 * @param components of a path relative to the shared directory
 */
export function hostRisk(components: readonly string[]): string | undefined {
  const lower = components.map((component) => component.toLowerCase());
  const name = lower.at(-1) ?? "";
  if (name.endsWith(".sample") && lower.includes("hooks")) return undefined;
  for (const [index, component] of lower.entries()) {
    const isLast = index === lower.length - 1;
    const next = lower[index + 1];
    if ((component === ".git" || component.endsWith(".git")) && next !== undefined && RISKY_IN_GIT.has(next)) {
      return next === "hooks" ? "a hook of git" : "settings of git that can run commands";
    }
    if (Object.hasOwn(RISKY_DIRECTORIES, component)) return RISKY_DIRECTORIES[component];
    if (isLast && Object.hasOwn(RISKY_FILES, component)) return RISKY_FILES[component];
  }
  return undefined;
}

/** Paths that are kept; of more only the number is. */
const MAX_PATHS = 100;
/** A longer path is not kept. */
const MAX_PATH_CHARS = 4096;

/** Remembers which such files of a folder were written to. */
export class RiskWatch {
  readonly #paths = new Map<string, string>();
  #more = 0;

  /** @param components one character a byte */
  wrote(components: readonly string[]): void {
    const why = hostRisk(components);
    if (why === undefined) return;
    const path = Buffer.from(components.join("/"), "latin1").toString("utf8");
    if (this.#paths.has(path)) return;
    if (this.#paths.size < MAX_PATHS && path.length <= MAX_PATH_CHARS) this.#paths.set(path, why);
    else this.#more += 1;
  }

  list(): { paths: { path: string; why: string }[]; more: number } {
    return { paths: [...this.#paths].map(([path, why]) => ({ path, why })), more: this.#more };
  }
}
