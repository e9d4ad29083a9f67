/**
 * The body of a presented request or response: a stream that asks for nothing until somebody reads it, and that gives
 * what the body means, without its content coding.
 */
import { Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from "node:zlib";
import type { FieldLines } from "../../http-heads.ts";
import type { IncomingBody } from "../body-flow.ts";

/** Nobody nests more of them. */
const MAX_CODINGS = 3;

type Parts = AsyncIterator<Buffer, undefined>;

export class LazyBody {
  readonly stream: ReadableStream<Uint8Array>;
  #touched = false;

  /** @param cancel called when the reader wants no more */
  constructor(incoming: IncomingBody, fields: FieldLines, cancel: () => void) {
    let parts: Parts | undefined;
    this.stream = new ReadableStream(
      {
        type: "bytes",
        pull: async (controller) => {
          this.#touched = true;
          parts ??= decode(partsOf(incoming), codingsOf(fields))[Symbol.asyncIterator]() as Parts;
          const { done, value } = await parts.next();
          // A copy, because a byte stream takes the whole memory that a view belongs to.
          if (done !== true) controller.enqueue(new Uint8Array(value));
          else {
            controller.close();
            controller.byobRequest?.respond(0);
          }
        },
        cancel,
      },
      { highWaterMark: 0 },
    );
  }

  /** Whether anything of it was asked for. */
  get touched(): boolean {
    return this.#touched;
  }
}

/** Outermost first. */
function codingsOf(fields: FieldLines): string[] {
  return fields
    .filter(([name]) => name.toLowerCase() === "content-encoding")
    .flatMap(([, value]) => value.toLowerCase().split(","))
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity")
    .reverse();
}

/** @throws Error for a coding that it does not know: a hook must not take for plain text what is none */
function decode(parts: AsyncIterable<Buffer>, codings: readonly string[]): AsyncIterable<Buffer> {
  if (codings.length > MAX_CODINGS) throw new Error(`a body in ${codings.length} content codings`);
  return codings.reduce(decodeOne, parts);
}

async function* decodeOne(parts: AsyncIterable<Buffer>, coding: string): AsyncGenerator<Buffer> {
  const iterator = parts[Symbol.asyncIterator]() as Parts;
  let first: Buffer | undefined;
  while (first === undefined || first.length === 0) {
    const { done, value } = await iterator.next();
    if (done === true) return; // An empty body stays one, as that of a response to HEAD.
    first = value;
  }
  const decoder = openDecoder(coding, first);
  const source = Readable.from(joined(first, iterator));
  source.on("error", (error) => decoder.destroy(error));
  yield* source.pipe(decoder) as AsyncIterable<Buffer>;
}

async function* joined(first: Buffer, rest: Parts): AsyncGenerator<Buffer> {
  yield first;
  yield* { [Symbol.asyncIterator]: () => rest };
}

function openDecoder(coding: string, first: Buffer): Transform {
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return createGunzip();
    case "deflate":
      // RFC 9110, section 8.4.1.2: some send it without the zlib format around it.
      return ((first[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw();
    case "br":
      return createBrotliDecompress();
    case "zstd":
      return createZstdDecompress();
    default:
      throw new Error(`a body in the content coding ${JSON.stringify(coding.slice(0, 40))}, which is not known`);
  }
}

async function* partsOf(incoming: IncomingBody): AsyncGenerator<Buffer> {
  for (let part = await incoming.next(); part !== null; part = await incoming.next()) yield part;
}
