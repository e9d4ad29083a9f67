/**
 * Brings what may have changed in a sandbox into a directory of the host where it can be looked at: the same tree, of
 * these entries alone. Everything comes by the ordinary download, which is what makes it safe to have.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { CallOptions, Sandbox } from "../../runtime.ts";

export interface FetchOptions extends CallOptions {
  /** The directory in the guest. */
  guestPath: string;
  /** Where the tree is made. */
  stagingPath: string;
  /** Entries to bring, relative, one character a byte; a directory comes with all that is in it. */
  wanted: readonly string[];
}

/** Characters of paths in one call: they travel in one message. */
const MAX_CALL_CHARS = 256 * 1024;

/** @returns paths that cannot be asked for, with the reason, and what the downloads left out */
export async function fetchChanged(
  sandbox: Sandbox,
  { guestPath, stagingPath, wanted, signal, onProgress }: FetchOptions,
): Promise<{ path: string; reason: string }[]> {
  const skipped: { path: string; reason: string }[] = [];
  const call = { ...(signal === undefined ? {} : { signal }), ...(onProgress === undefined ? {} : { onProgress }) };
  for (const [directory, names] of byDirectory(wanted, skipped)) {
    const target = path.join(stagingPath, directory);
    mkdirSync(target, { recursive: true, mode: 0o700 });
    for (const group of inGroups(names)) {
      const sources = group.map((name) => path.posix.join(guestPath, directory, name));
      const report = await sandbox.download(sources, `${target}/`, call);
      skipped.push(...report.skipped.map((entry) => ({ ...entry, path: path.posix.join(directory, entry.path) })));
    }
  }
  return skipped;
}

/** Names in their directories, as the calls take them. */
function byDirectory(wanted: readonly string[], skipped: { path: string; reason: string }[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const latin1 of wanted) {
    const bytes = Buffer.from(latin1, "latin1");
    const text = bytes.toString("utf8");
    if (!Buffer.from(text, "utf8").equals(bytes)) {
      skipped.push({ path: text, reason: "its name is not UTF-8, and cannot be asked for" });
      continue;
    }
    const directory = path.posix.dirname(text);
    const names = found.get(directory) ?? [];
    names.push(path.posix.basename(text));
    found.set(directory, names);
  }
  return found;
}

function* inGroups(names: readonly string[]): Generator<string[], void, undefined> {
  let group: string[] = [];
  let chars = 0;
  for (const name of names) {
    if (chars + name.length > MAX_CALL_CHARS && group.length > 0) {
      yield group;
      group = [];
      chars = 0;
    }
    group.push(name);
    chars += name.length + 64;
  }
  if (group.length > 0) yield group;
}
