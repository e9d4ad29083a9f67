/**
 * The way out of a session that hangs, as in ssh: Enter, the escape character, and a key. All other keys go to the guest
 * as they are. What is pasted (between the marks of bracketed paste) is never taken for it.
 */

export type EscapeAction = "disconnect" | "suspend" | "help";

const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const ACTIONS: ReadonlyMap<number, EscapeAction> = new Map([
  [0x2e, "disconnect"], // .
  [0x1a, "suspend"], // Ctrl-Z
  [0x3f, "help"], // ?
]);
const PASTE_BEGIN = Buffer.from("\u001b[200~");
const PASTE_END = Buffer.from("\u001b[201~");

export class EscapeKeys {
  readonly #escape: number | undefined;
  readonly #onAction: (action: EscapeAction) => void;
  /** The session begins as a line does. */
  #state: "line-start" | "in-line" | "escaped" = "line-start";
  #isPasting = false;
  /** How much of the mark that would end or begin a paste has come. */
  #markBytes = 0;

  /** @param escape the character, one byte; undefined for none */
  constructor(escape: string | undefined, onAction: (action: EscapeAction) => void) {
    this.#escape = escape === undefined ? undefined : escape.charCodeAt(0);
    this.#onAction = onAction;
  }

  /** What of the keys is for the guest. */
  feed(keys: Buffer): Buffer {
    const escape = this.#escape;
    if (escape === undefined) return keys;
    const wasHeld = this.#state === "escaped";
    const out: number[] = [];
    for (const key of keys) this.#key(key, escape, out);
    // Nothing was held back and nothing is: the usual case copies nothing.
    return out.length === keys.length && !wasHeld && this.#state !== "escaped" ? keys : Buffer.from(out);
  }

  #key(key: number, escape: number, out: number[]): void {
    this.#followPaste(key);
    if (this.#isPasting) {
      this.#state = "in-line";
      out.push(key);
      return;
    }
    if (this.#state === "line-start" && key === escape) {
      this.#state = "escaped";
      return;
    }
    if (this.#state === "escaped" && key !== escape) {
      const action = ACTIONS.get(key);
      if (action !== undefined) {
        this.#state = "line-start";
        this.#onAction(action);
        return;
      }
      out.push(escape);
    }
    this.#state = key === CARRIAGE_RETURN || key === LINE_FEED ? "line-start" : "in-line";
    out.push(key);
  }

  #followPaste(key: number): void {
    const mark = this.#isPasting ? PASTE_END : PASTE_BEGIN;
    if (key !== mark[this.#markBytes]) this.#markBytes = key === mark[0] ? 1 : 0;
    else if (++this.#markBytes === mark.length) {
      this.#markBytes = 0;
      this.#isPasting = !this.#isPasting;
    }
  }
}
