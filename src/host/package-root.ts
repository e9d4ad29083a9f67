/** Where sbx itself is installed: data files and the agent lie beside the code, wherever the bundler put that. */
import { readFileSync } from "node:fs";
import path from "node:path";

const PACKAGE = "sbx";
let found: string | undefined;

/** Directory of sbx's package.json. */
export function packageRoot(): string {
  found ??= findPackageRoot(import.meta.dirname);
  return found;
}

/** Directory of the recipe of the base image. */
export function recipePath(): string {
  return path.join(packageRoot(), "image");
}

/** Directory of what VS Code for the browser is made of. */
export function editorRecipePath(): string {
  return path.join(packageRoot(), "image", "editor");
}

/** What has programs of Node find names below `localhost`. */
export function localhostNamesPath(): string {
  return path.join(packageRoot(), "bin", "localhost-names.cjs");
}

/** The guest agent for an architecture of Debian's naming. */
export function agentPath(architecture: "amd64" | "arm64"): string {
  return path.join(packageRoot(), "dist", "agent", `sbx-agent-linux-${architecture}`);
}

/** The program that starts a machine and becomes its supervisor, for an architecture of Debian's naming. */
export function launcherPath(architecture: "amd64" | "arm64"): string {
  return path.join(packageRoot(), "dist", "agent", `sbx-launch-linux-${architecture}`);
}

/** The program that sends open files over a socket, for this machine. */
export function sendFdPath(): string {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  return path.join(packageRoot(), "dist", "agent", `sbx-send-fd-linux-${architecture}`);
}

/** The program that copies the memory of a running machine, for this machine. */
export function memoryProgramPath(): string {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  return path.join(packageRoot(), "dist", "agent", `sbx-memory-linux-${architecture}`);
}

function findPackageRoot(start: string): string {
  for (let directory = start; ; directory = path.dirname(directory)) {
    if (nameIn(directory) === PACKAGE) return directory;
    if (directory === path.dirname(directory)) throw new Error(`no package of the name ${PACKAGE} above ${start}`);
  }
}

function nameIn(directory: string): unknown {
  try {
    return (JSON.parse(readFileSync(path.join(directory, "package.json"), "utf8")) as { name?: unknown }).name;
  } catch {
    return undefined; // No package.json here: look further up.
  }
}
