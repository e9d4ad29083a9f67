/** The connections that are open, with whose they are. */
import type { Caller } from "../tokens/authenticate.ts";

/** WebSocket close codes (RFC 6455, 7.4.1): the SDK takes the first one for an ordinary end. */
export const CLOSE_GOING_AWAY = 1001;
export const CLOSE_POLICY = 1008;

/** What stays open for a caller. */
export interface OpenConnection {
  /** Never rejects. */
  readonly closed: Promise<void>;
  /** Says goodbye as its protocol has it, and hangs up. */
  close(code: number, reason: string): void;
}

export class Relays {
  readonly #open = new Map<OpenConnection, Caller>();
  /** Why none is to be open any more. */
  #endReason: string | undefined;

  get size(): number {
    return this.#open.size;
  }

  /** Until it is closed. */
  async track(relay: OpenConnection, caller: Caller): Promise<void> {
    this.#open.set(relay, caller);
    if (this.#endReason !== undefined) relay.close(CLOSE_GOING_AWAY, this.#endReason);
    await relay.closed;
    this.#open.delete(relay);
  }

  /** Closes those whose token no longer holds. */
  closeUnless(holds: (tokenId: string) => boolean): void {
    const verdicts = new Map<string, boolean>();
    for (const [relay, { tokenId }] of this.#open) {
      const verdict = verdicts.get(tokenId) ?? holds(tokenId);
      verdicts.set(tokenId, verdict);
      if (!verdict) relay.close(CLOSE_POLICY, "the token does not hold any more");
    }
  }

  /** Closes all, those that are yet to come as well, and waits until those that are open are closed. */
  async closeAll(reason: string): Promise<void> {
    this.#endReason = reason;
    const open = [...this.#open.keys()];
    for (const relay of open) relay.close(CLOSE_GOING_AWAY, reason);
    await Promise.all(open.map(async (relay) => relay.closed));
  }
}
