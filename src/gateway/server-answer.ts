/** What of a server's answers the gateway has to know: whether there is one, and whether it agrees to an upgrade. */

const SWITCHING = /^HTTP\/1\.[01] 101[ \r]/;
const NEEDED_BYTES = "HTTP/1.1 101 ".length;

export class ServerAnswer {
  /** The server has sent something. */
  hasBegun = false;
  /** The connection speaks no HTTP any more. */
  isUpgraded = false;
  /** The beginning of the answer to a request for an upgrade. */
  #awaited: Buffer | undefined;

  /** Whether an answer is waited for that decides what the client may send. */
  get isAwaited(): boolean {
    return this.#awaited !== undefined;
  }

  /** A request for an upgrade is on its way, with nothing behind it. */
  expect(): void {
    this.#awaited = Buffer.alloc(0);
  }

  /** Says what has become of the upgrade, once. */
  see(chunk: Buffer): "upgraded" | "http" | undefined {
    this.hasBegun = true;
    if (this.#awaited === undefined) return undefined;
    const begin = Buffer.concat([this.#awaited, chunk.subarray(0, NEEDED_BYTES)]);
    if (begin.length < NEEDED_BYTES) {
      this.#awaited = begin;
      return undefined;
    }
    this.#awaited = undefined;
    this.isUpgraded = SWITCHING.test(begin.toString("latin1", 0, NEEDED_BYTES));
    return this.isUpgraded ? "upgraded" : "http";
  }
}
