/**
 * What is in a directory of a sandbox, by its own `find`. The answer is hostile: names, sizes and numbers are checked,
 * and a lie only changes what is shown and asked for, never where on the host anything goes.
 */
import { splitEntryPath } from "../../copy/entry-path.ts";
import { SbxError } from "../../errors.ts";
import type { EntryKind } from "../../folders.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import { MAX_ENTRIES } from "./copy-manifest.ts";

export interface GuestEntry {
  kind: EntryKind | "other";
  mode: number;
  size: number;
  /** Epoch `ms`, whole. */
  mtimeMs: number;
  /** Text of a symbolic link. */
  target: string;
}

const MAX_BYTES = 256 * 1024 ** 2;
const MAX_ERROR_CHARS = 300;
/** Type, mode, size, time, path relative to the directory, target of a link. */
const FORMAT = String.raw`%y\0%m\0%s\0%T@\0%P\0%l\0`;
const FIELDS = 6;
const KINDS: Readonly<Record<string, EntryKind>> = { f: "file", d: "directory", l: "symlink" };

/**
 * Everything below a directory by its path relative to that, one character a byte.
 *
 * @throws SbxError `guest_error`
 */
export async function listGuestTree(
  sandbox: Sandbox,
  directory: string,
  { signal }: CallOptions,
): Promise<Map<string, GuestEntry>> {
  const argv = ["find", directory, "-mindepth", "1", "-printf", FORMAT] as const;
  await using session = await sandbox.exec(
    { argv, env: { LC_ALL: "C" }, cwd: "/" },
    signal === undefined ? {} : { signal },
  );
  const errors = collect(session.stderr, MAX_ERROR_CHARS);
  const output = await collect(session.stdout, MAX_BYTES);
  const { code } = await session.exit;
  if (output.isCut) throw new SbxError("guest_error", `there is too much in '${directory}' to be compared`);
  if (code !== 0) {
    const why = (await errors).bytes.toString("utf8").split("\n", 1)[0] ?? "";
    throw new SbxError("guest_error", `'${directory}' in the sandbox cannot be listed: ${why}`);
  }
  return parseListing(output.bytes);
}

/** @throws SbxError `guest_error` */
export function parseListing(bytes: Buffer): Map<string, GuestEntry> {
  const fields = bytes.toString("latin1").split("\0");
  if (fields.pop() !== "" || fields.length % FIELDS !== 0) throw nonsense("it ends in the middle");
  if (fields.length / FIELDS > MAX_ENTRIES) throw nonsense(`more than ${MAX_ENTRIES} entries`);
  const entries = new Map<string, GuestEntry>();
  for (let at = 0; at < fields.length; at += FIELDS) {
    const [type = "", mode = "", size = "", time = "", name = "", target = ""] = fields.slice(at, at + FIELDS);
    if (!/^[0-7]{1,5}$/.test(mode) || !/^\d{1,15}$/.test(size) || !/^-?\d{1,12}(\.\d+)?$/.test(time)) {
      throw nonsense("a field is not what it should be");
    }
    splitEntryPath(Buffer.from(name, "latin1"));
    if (entries.has(name)) throw nonsense("a name comes twice");
    entries.set(name, {
      kind: KINDS[type] ?? "other",
      mode: Number.parseInt(mode, 8) & 0o777,
      size: Number(size),
      mtimeMs: Math.floor(Number(time) * 1000),
      target,
    });
  }
  return entries;
}

function nonsense(what: string): SbxError {
  return new SbxError("guest_error", `the sandbox's list of its files makes no sense: ${what}`);
}

async function collect(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<{ bytes: Buffer; isCut: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
  }
  return { bytes: Buffer.concat(chunks), isCut: size > maxBytes };
}
