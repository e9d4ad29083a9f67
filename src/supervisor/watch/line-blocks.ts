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
    const cut = isLine ? end : between(text, from + MAX_BLOCK_CHARS);
    blocks.push(text.slice(from, cut));
    from = isLine ? cut + 1 : cut;
  }
  return [...blocks, text.slice(from)];
}

/** A line that is too long becomes several. */
function cutHard(text: string): string[] {
  const pieces: string[] = [];
  let from = 0;
  while (from < text.length) {
    const cut = between(text, from + MAX_BLOCK_CHARS);
    pieces.push(text.slice(from, cut));
    from = cut;
  }
  return pieces;
}

/** The place, or the one before it where a character of two units would be torn apart. */
function between(text: string, at: number): number {
  return at < text.length && text.codePointAt(at - 1) !== text.charCodeAt(at - 1) ? at - 1 : at;
}
