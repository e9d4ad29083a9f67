/**
 * Assets as a tar archive (POSIX pax). The same assets are the same bytes: entries are sorted, and have no owner and no
 * time.
 */
import { Header, Pax } from "tar";
import type { DeployAsset } from "../../apps.ts";
import { usage } from "./app-faults.ts";

const BLOCK_BYTES = 512;
export const MAX_ASSETS = 20_000;
const MAX_PATH_BYTES = 1024;
const MAX_NAME_BYTES = 255;
const FILE_MODE = 0o644;
/** Of what can be run by its name. */
const PROGRAM_MODE = 0o755;
const LINK_MODE = 0o777;

/** ELF, or a script that names its interpreter. */
export function isProgram(content: Uint8Array): boolean {
  const start = Buffer.from(content.subarray(0, 4)).toString("latin1");
  return start === "\x7fELF" || start.startsWith("#!");
}

/** @throws SbxError `usage` for paths that do not stay in the app's directory, or exclude each other */
export function checkAssets(assets: ReadonlyMap<string, DeployAsset>): void {
  if (assets.size > MAX_ASSETS) throw usage(`there can be ${MAX_ASSETS} assets, not ${assets.size}`);
  for (const [name, asset] of assets) {
    const fault = pathFault(name);
    if (fault !== undefined) throw usage(`the asset ${JSON.stringify(name.slice(0, 128))} ${fault}`);
    for (const above of directoriesAbove(name)) {
      if (assets.has(above))
        throw usage(`the asset ${JSON.stringify(above)} is above the asset ${JSON.stringify(name)}`);
    }
    if (asset.kind === "symlink" && (asset.target === "" || asset.target.includes("\0"))) {
      throw usage(`the link ${JSON.stringify(name)} has no target`);
    }
  }
}

/** @param assets checked */
export async function* packAssets(assets: ReadonlyMap<string, DeployAsset>): AsyncIterable<Uint8Array> {
  const names = [...assets.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const name of names) {
    const asset = assets.get(name);
    if (asset === undefined) continue;
    if (asset.kind === "symlink") {
      yield entryHead({ path: name, linkpath: asset.target, type: "SymbolicLink", size: 0, mode: LINK_MODE });
      continue;
    }
    const { content } = asset;
    yield entryHead({
      path: name,
      type: "File",
      size: content.length,
      mode: isProgram(content) ? PROGRAM_MODE : FILE_MODE,
    });
    yield content;
    const rest = content.length % BLOCK_BYTES;
    if (rest > 0) yield Buffer.alloc(BLOCK_BYTES - rest);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

interface Entry {
  path: string;
  linkpath?: string;
  type: "File" | "SymbolicLink";
  size: number;
  mode: number;
}

function entryHead(entry: Entry): Buffer {
  const header = new Header({ ...entry, uid: 0, gid: 0, mtime: new Date(0) });
  header.encode();
  const block = Buffer.from(header.block?.subarray(0, BLOCK_BYTES) ?? Buffer.alloc(BLOCK_BYTES));
  if (!header.needPax) return block;
  // What the old fields have no room for: long paths and targets, and other letters.
  const { path, linkpath } = entry;
  const extended = new Pax({ path, ...(linkpath === undefined ? {} : { linkpath }) }).encode();
  return Buffer.concat([extended, block]);
}

function pathFault(name: string): string | undefined {
  if (name === "" || name.includes("\0")) return "has no path";
  if (Buffer.byteLength(name) > MAX_PATH_BYTES) return `has a path of more than ${MAX_PATH_BYTES} bytes`;
  for (const part of name.split("/")) {
    if (part === "" || part === "." || part === "..") return "has a path that is not below the app's directory";
    if (Buffer.byteLength(part) > MAX_NAME_BYTES) return `has a name of more than ${MAX_NAME_BYTES} bytes`;
  }
  return undefined;
}

function directoriesAbove(name: string): string[] {
  const parts = name.split("/");
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join("/"));
}
