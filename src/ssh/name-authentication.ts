/**
 * Who a client is where the user name is the secret (RFC 4252): whatever method it tries, and whatever it shows with it, the
 * name alone decides. A name that opens nothing is refused as any other, after the same time; nothing that a refused client
 * is told depends on its name.
 */
import { MAX_WAITING_MESSAGES } from "./limits.ts";
import { DISCONNECT } from "./message-link.ts";
import { encodePayload, MSG, PayloadReader, ProtocolError } from "./payload.ts";
import type { SshTransport } from "./transport.ts";

const SERVICE = "ssh-userauth";
const NEXT_SERVICE = "ssh-connection";
/** What a refused client is offered: something that it tries without asking its user for a password. */
const METHODS = "publickey";
const MAX_USER_BYTES = 256;
const MAX_METHOD_BYTES = 64;
/** As many as OpenSSH's server allows. */
const MAX_ATTEMPTS = 6;

export interface NameAuthenticationOptions<T extends { destroy(): unknown }> {
  transport: SshTransport;
  /** What a name opens; undefined where that is nothing. @throws Error that tells who has a name why it opens nothing now */
  open: (name: string) => Promise<T | undefined>;
  /** From a request to its refusal, at the least, `ms`. */
  refusalMs: number;
  /** Called once; messages go elsewhere from then on. */
  accepted: (opened: T, waiting: readonly Buffer[]) => void;
}

export class NameAuthentication<T extends { destroy(): unknown }> {
  readonly #options: NameAuthenticationOptions<T>;
  #isRequested = false;
  #attempts = 0;
  #user: string | undefined;
  /** Messages that came while a request is decided on; undefined while none is. */
  #waiting: Buffer[] | undefined;

  constructor(options: NameAuthenticationOptions<T>) {
    this.#options = options;
  }

  service(name: string): void {
    const { transport } = this.#options;
    if (name !== SERVICE || this.#isRequested) {
      transport.disconnect(DISCONNECT.serviceNotAvailable, "there is no such service");
      return;
    }
    this.#isRequested = true;
    transport.send(encodePayload(MSG.serviceAccept, name));
  }

  /** @throws ProtocolError */
  message(payload: Buffer): void {
    if (this.#waiting !== undefined) {
      if (this.#waiting.length >= MAX_WAITING_MESSAGES) throw new ProtocolError("too much before an answer");
      this.#waiting.push(payload);
      return;
    }
    if (payload[0] !== MSG.userauthRequest || !this.#isRequested) {
      throw new ProtocolError("the client has not said who it is");
    }
    this.#request(new PayloadReader(payload));
  }

  #request(reader: PayloadReader): void {
    const { transport } = this.#options;
    const user = reader.text(MAX_USER_BYTES);
    const service = reader.text(MAX_USER_BYTES);
    reader.text(MAX_METHOD_BYTES);
    this.#attempts += 1;
    if (service !== NEXT_SERVICE || (this.#user ?? user) !== user || this.#attempts > MAX_ATTEMPTS) {
      transport.disconnect(DISCONNECT.noMoreAuth, "too many attempts to authenticate");
      return;
    }
    this.#user = user;
    this.#waiting = [];
    void this.#decide(user, this.#waiting);
  }

  async #decide(user: string, waiting: readonly Buffer[]): Promise<void> {
    const { transport, open, refusalMs, accepted } = this.#options;
    const refusal = new Promise((resolve) => {
      setTimeout(resolve, refusalMs).unref();
    });
    let opened: T | undefined;
    try {
      opened = await open(user);
    } catch (error) {
      transport.disconnect(DISCONNECT.byApplication, error instanceof Error ? error.message : String(error));
      return;
    }
    if (opened !== undefined && !transport.isOver) {
      transport.send(encodePayload(MSG.userauthSuccess));
      accepted(opened, waiting);
      return;
    }
    opened?.destroy();
    await refusal;
    this.#waiting = undefined;
    transport.send(encodePayload(MSG.userauthFailure, METHODS, false));
    try {
      for (const payload of waiting) this.message(payload);
    } catch (error) {
      // Nobody above waits for this.
      if (!(error instanceof ProtocolError)) throw error;
      transport.disconnect(DISCONNECT.protocolError, error.message);
    }
  }
}
