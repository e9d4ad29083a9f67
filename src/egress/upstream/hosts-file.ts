/** The names in the host's hosts(5) file, read again when it has changed. The file is the user's. */
import { readFile, stat } from "node:fs/promises";

export class HostsFile {
  readonly #path: string;
  #version = "";
  #names: ReadonlySet<string> = new Set();

  constructor(path: string) {
    this.#path = path;
  }

  /** @param name in lower case. A file that cannot be read has none. */
  async has(name: string): Promise<boolean> {
    try {
      const { ino, size, mtimeMs } = await stat(this.#path);
      const version = `${ino} ${size} ${mtimeMs}`;
      if (version !== this.#version) {
        this.#names = namesIn(await readFile(this.#path, "latin1"));
        this.#version = version;
      }
    } catch {
      return false;
    }
    return this.#names.has(name);
  }
}

function namesIn(text: string): Set<string> {
  const names = new Set<string>();
  for (const line of text.split("\n")) {
    const [, ...hosts] = line.replace(/#.*/, "").trim().split(/\s+/);
    for (const host of hosts) names.add(host.toLowerCase());
  }
  return names;
}
