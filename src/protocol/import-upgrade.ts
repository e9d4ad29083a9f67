/**
 * A disk file on its way to a server: a connection that was upgraded to `sbx-import`. The client sends pieces, each behind
 * its length as a uint32 (big-endian), and a length of 0 as the end. What ends without that was broken off, and nothing is
 * made of it. The server answers in lines (control-lines.ts), the last one being the new volume or snapshot, or an error,
 * which may come before the client has sent everything.
 */
export const IMPORT_UPGRADE = "sbx-import";
export const MAX_PIECE_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;

/** Pieces of any size as they are sent, the end behind them. */
export async function* encodePieces(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; at += MAX_PIECE_BYTES) {
      const piece = bytes.subarray(at, at + MAX_PIECE_BYTES);
      yield lengthOf(piece.length);
      yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    }
  }
  yield lengthOf(0);
}

/** The bytes of the pieces. @throws Error for what is none of this, or ends without its end */
export async function* decodePieces(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let head = Buffer.alloc(0);
  let left = 0;
  for await (const chunk of source) {
    let rest = chunk;
    while (rest.length > 0) {
      if (left > 0) {
        const piece = rest.subarray(0, left);
        left -= piece.length;
        rest = rest.subarray(piece.length);
        yield piece;
        continue;
      }
      const wanted = LENGTH_BYTES - head.length;
      head = Buffer.concat([head, rest.subarray(0, wanted)]);
      rest = rest.subarray(wanted);
      if (head.length < LENGTH_BYTES) continue;
      left = head.readUInt32BE();
      head = Buffer.alloc(0);
      if (left > MAX_PIECE_BYTES) throw new Error(`a piece of ${left} bytes`);
      if (left === 0) return;
    }
  }
  throw new Error("it broke off");
}

function lengthOf(bytes: number): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(bytes);
  return length;
}
