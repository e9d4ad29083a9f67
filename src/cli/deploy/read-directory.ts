/** A directory of this machine as what is deployed: files and links as they are. Nothing outside of it is read. */
import { constants } from "node:fs";
import { open, readdir, readlink, stat } from "node:fs/promises";
import path from "node:path";
import type { DeployAsset } from "../../runtime/apps.ts";
import { quoteValue, usageError } from "../parsers/usage-error.ts";

/** Its history is not what runs. */
const LEFT_OUT: ReadonlySet<string> = new Set([".git"]);
/** Read into memory as a whole, `bytes`. */
const MAX_BYTES = 100 * 1024 ** 2;

/** @throws SbxError `usage` for what is no directory, or too large */
export async function readDirectory(directory: string, signal: AbortSignal): Promise<Map<string, DeployAsset>> {
  const isDirectory = await stat(directory).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (!isDirectory) throw usageError(`${quoteValue(directory)} is no directory`);
  const assets = new Map<string, DeployAsset>();
  const room = { bytes: MAX_BYTES };
  await readInto(assets, directory, "", room, signal);
  return assets;
}

async function readInto(
  assets: Map<string, DeployAsset>,
  root: string,
  below: string,
  room: { bytes: number },
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const entries = await readdir(path.join(root, below), { withFileTypes: true });
  for (const entry of entries) {
    if (below === "" && LEFT_OUT.has(entry.name)) continue;
    const name = below === "" ? entry.name : `${below}/${entry.name}`;
    const file = path.join(root, name);
    if (entry.isDirectory()) await readInto(assets, root, name, room, signal);
    else if (entry.isSymbolicLink()) assets.set(name, { kind: "symlink", target: await readlink(file) });
    else if (entry.isFile()) assets.set(name, { kind: "file", content: await readFile(file, room) });
  }
}

async function readFile(file: string, room: { bytes: number }): Promise<Buffer> {
  // What was a file a moment ago may be a link by now.
  await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { size } = await handle.stat();
  if (size > room.bytes) {
    throw usageError(
      `the directory has more than ${MAX_BYTES / 1024 ** 2} MiB`,
      "deploy from a sandbox: sbx copy it there, then sbx deploy SANDBOX APP --cwd DIRECTORY",
    );
  }
  const content = await handle.readFile();
  room.bytes -= content.length;
  return content;
}
