/** Directories that a test throws away, and a picture of what is in one, to compare. */
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Scratch implements Disposable {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), "sbx-copy-test-")));

  join(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  [Symbol.dispose](): void {
    makeWritable(this.path);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Everything below a directory: `path type mode mtime content`. Names are shown as latin1, so bytes stay apart. */
export function picture(directory: string, options: { times?: boolean } = {}): string[] {
  const lines: string[] = [];
  const visit = (path: Buffer, shown: string): void => {
    const stats = lstatSync(path);
    const mode = (stats.mode & 0o7777).toString(8);
    const time = options.times === false ? "" : ` ${Math.floor(stats.mtimeMs)}`;
    if (stats.isSymbolicLink()) lines.push(`${shown} -> ${readlinkSync(path, "latin1")}${time}`);
    else if (stats.isDirectory()) {
      lines.push(`${shown}/ ${mode}${time}`);
      for (const name of readdirSync(path, { encoding: "buffer" }).sort((a, b) => a.compare(b))) {
        visit(Buffer.concat([path, Buffer.from("/"), name]), `${shown}/${name.toString("latin1")}`);
      }
    } else if (stats.isFile()) {
      lines.push(`${shown} ${mode}${time} ${stats.size} ${readFileSync(path).toString("base64").slice(0, 2000)}`);
    } else lines.push(`${shown} special ${mode}`);
  };
  visit(Buffer.from(directory), ".");
  return lines;
}

/** Names of whatever a copy has left behind that is no result of it; links are not followed. */
export function leftovers(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (name.startsWith(".sbx-copy-")) return [path];
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? leftovers(path) : [];
  });
}

function makeWritable(path: string): void {
  const stats = lstatSync(path);
  if (!stats.isDirectory()) return;
  chmodSync(path, 0o700);
  for (const name of readdirSync(path)) {
    if (lstatSync(join(path, name), { throwIfNoEntry: false })?.isDirectory() === true) makeWritable(join(path, name));
  }
}
