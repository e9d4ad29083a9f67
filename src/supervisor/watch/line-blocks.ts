/**
 * Cuts a stream of bytes into blocks of whole lines, each of a bounded length. Lines are not taken apart one by one: a
 * guest can write a million empty ones a second.
 */
import { StringDecoder } from "node:string_decoder";
import { MAX_BLOCK_CHARS } from "../../protocol/line-records.ts";

export class LineBlocks {
  readonly #decoder = new StringDecoder("utf8");
  #partial = "";

  /** Blocks that are complete now: lines between line feeds, without the last one. */
  push(chunk: Uint8Array): string[] {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const text = this.#partial + this.#decoder.write(bytes);
    const end = text.lastIndexOf("\n");
    const blocks = end < 0 ? [] : cutAtLines(text.slice(0, end));
    const rest = cutHard(text.slice(end + 1));
    this.#partial = rest.pop() ?? "";
    return [...blocks, ...rest];
  }

  /** A last line without an end. */
  rest(): string[] {
    const rest = this.#partial + this.#decoder.end();
    this.#partial = "";
    return rest === "" ? [] : cutHard(rest);
  }
}

function cutAtLines(text: string): string[] {
  const blocks: string[] = [];
  let from = 0;
  while (text.length - from > MAX_BLOCK_CHARS) {
    const end = text.lastIndexOf("\n", from + MAX_BLOCK_CHARS);
    const isLine = end >= from;
    blocks.push(text.slice(from, isLine ? end : from + MAX_BLOCK_CHARS));
    from = isLine ? end + 1 : from + MAX_BLOCK_CHARS;
  }
  return [...blocks, text.slice(from)];
}

/** A line that is too long becomes several. */
function cutHard(text: string): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < text.length; from += MAX_BLOCK_CHARS) pieces.push(text.slice(from, from + MAX_BLOCK_CHARS));
  return pieces;
}
