/**
 * Writes archives in the "newc" form of cpio, which is what the kernel unpacks an initramfs from (the kernel's
 * Documentation/driver-api/early-userspace/buffer-format.rst). Pure: entries in, bytes out.
 */

const TRAILER = "TRAILER!!!";
const HEADER_BYTES = 110;
/** Archives may follow one another in an initramfs when each starts at a multiple of four; 512 is what cpio itself pads to. */
const ARCHIVE_ALIGNMENT_BYTES = 512;

const TYPE_BITS = { directory: 0o040000, file: 0o100000, character: 0o020000 } as const;

export type CpioEntry =
  | { type: "directory"; path: string; mode: number }
  | { type: "file"; path: string; mode: number; content: Uint8Array }
  | { type: "character"; path: string; mode: number; major: number; minor: number };

/**
 * One archive with its trailer, padded so that another one may follow. Everything belongs to root and has no time, so
 * the same entries always give the same bytes.
 *
 * @throws RangeError for a path that is absolute or climbs, and for content of 4 GiB and more
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  let inode = 1;
  for (const entry of entries) {
    checkPath(entry.path);
    pushEntry(parts, entry, inode);
    inode += 1;
  }
  const trailer: CpioEntry = { type: "file", path: TRAILER, mode: 0, content: new Uint8Array() };
  pushRecord(parts, TRAILER, headerFields(trailer, 0, 0), trailer.content);
  const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
  parts.push(new Uint8Array(padding(size, ARCHIVE_ALIGNMENT_BYTES)));
  return Buffer.concat(parts);
}

function pushEntry(parts: Uint8Array[], entry: CpioEntry, inode: number): void {
  const content = entry.type === "file" ? entry.content : new Uint8Array();
  if (content.byteLength > 0xffffffff) throw new RangeError(`${entry.path} is too large for a cpio archive`);
  pushRecord(parts, entry.path, headerFields(entry, inode, content.byteLength), content);
}

/** The thirteen numbers of a header, in order. */
function headerFields(entry: CpioEntry, inode: number, sizeBytes: number): number[] {
  const mode = entry.path === TRAILER ? 0 : TYPE_BITS[entry.type] | (entry.mode & 0o7777);
  const links = entry.type === "directory" ? 2 : 1;
  const device = entry.type === "character" ? [entry.major, entry.minor] : [0, 0];
  const nameBytes = Buffer.byteLength(entry.path) + 1;
  return [inode, mode, 0, 0, links, 0, sizeBytes, 0, 0, ...device, nameBytes, 0];
}

function pushRecord(parts: Uint8Array[], name: string, fields: number[], content: Uint8Array): void {
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  const nameAndEnd = Buffer.from(`${name}\0`);
  parts.push(Buffer.from(header, "latin1"), nameAndEnd);
  parts.push(new Uint8Array(padding(HEADER_BYTES + nameAndEnd.byteLength, 4)));
  parts.push(content, new Uint8Array(padding(content.byteLength, 4)));
}

function padding(size: number, alignment: number): number {
  return (alignment - (size % alignment)) % alignment;
}

function checkPath(path: string): void {
  const components = path.split("/");
  if (path === TRAILER || components.some((part) => part === "" || part === "." || part === "..")) {
    throw new RangeError(`${JSON.stringify(path)} cannot stand in a cpio archive`);
  }
}
