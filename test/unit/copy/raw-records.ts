/** Records written byte by byte, so that a test can also write what the encoder never would. */

export interface RawEntry {
  type?: number;
  mode?: number;
  mtimeMs?: number;
  size?: number;
  path: string | Buffer;
  link?: string | Buffer;
}

export function record(kind: number, payload: Uint8Array = Buffer.alloc(0), length = payload.length): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(kind, 0);
  header.writeUInt32LE(length, 1);
  return Buffer.concat([header, payload]);
}

/** Strings are taken as one byte a character. */
export function entry(raw: RawEntry): Buffer {
  const path = bytesOf(raw.path);
  const link = bytesOf(raw.link ?? "");
  const payload = Buffer.alloc(25 + path.length + link.length);
  payload.writeUInt8(raw.type ?? 1, 0);
  payload.writeUInt32LE(raw.mode ?? 0o644, 1);
  payload.writeBigInt64LE(BigInt(raw.mtimeMs ?? 1_600_000_000_000), 5);
  payload.writeBigUInt64LE(BigInt(raw.size ?? 0), 13);
  payload.writeUInt16LE(path.length, 21);
  payload.set(path, 23);
  payload.writeUInt16LE(link.length, 23 + path.length);
  payload.set(link, 25 + path.length);
  return record(1, payload);
}

export const data = (bytes: Uint8Array | string): Buffer => record(2, Buffer.from(bytes as string));

export function hole(bytes: number | bigint): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(bytes));
  return record(3, payload);
}

export const endOfFile = (): Buffer => record(4);

export function skipped(path: string, reason: string): Buffer {
  const bytes = Buffer.from(path, "latin1");
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length);
  return record(5, Buffer.concat([length, bytes, Buffer.from(reason)]));
}

export const end = (): Buffer => record(6);

export function file(path: string | Buffer, content = "", more: Partial<RawEntry> = {}): Buffer {
  const bytes = Buffer.from(content);
  const parts = [entry({ path, size: bytes.length, ...more })];
  if (bytes.length > 0) parts.push(data(bytes));
  return Buffer.concat([...parts, endOfFile()]);
}

export const directory = (path: string | Buffer, more: Partial<RawEntry> = {}): Buffer =>
  entry({ path, type: 2, mode: 0o755, ...more });

export const symlink = (path: string | Buffer, link: string): Buffer => entry({ path, type: 3, mode: 0o777, link });

export const hardLink = (path: string, link: string): Buffer => entry({ path, type: 4, link });

/** A stream of these records, in chunks of `chunkBytes`. */
export async function* streamOf(records: readonly Buffer[], chunkBytes = 65_536): AsyncGenerator<Buffer> {
  const bytes = Buffer.concat(records);
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

function bytesOf(text: string | Buffer): Buffer {
  return typeof text === "string" ? Buffer.from(text, "latin1") : text;
}
