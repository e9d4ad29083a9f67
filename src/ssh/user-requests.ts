/**
 * How the question begins who a client is, whatever decides on it (RFC 4252, 4 and 5): the service, then requests, all for
 * one user, and so many of them. While one is decided on, whatever else comes waits.
 */
import { MAX_WAITING_MESSAGES } from "./limits.ts";
import { DISCONNECT } from "./message-link.ts";
import { encodePayload, MSG, PayloadReader, ProtocolError } from "./payload.ts";
import type { SshTransport } from "./transport.ts";

const SERVICE = "ssh-userauth";
const NEXT_SERVICE = "ssh-connection";

export interface UserRequest {
  user: string;
  method: string;
  payload: Buffer;
  /** Behind the method's name. */
  reader: PayloadReader;
}

export interface UserRequestLimits {
  attempts: number;
  /** Of each name in a request. */
  nameBytes: number;
  /** What a client has not done that says something else first. */
  missing: string;
}

export class UserRequests {
  readonly #transport: SshTransport;
  readonly #limits: UserRequestLimits;
  readonly #onRequest: (request: UserRequest) => void;
  #isRequested = false;
  #attempts = 0;
  #user: string | undefined;
  /** Messages that came while a request is decided on; undefined while none is. */
  #waiting: Buffer[] | undefined;

  constructor(transport: SshTransport, limits: UserRequestLimits, onRequest: (request: UserRequest) => void) {
    this.#transport = transport;
    this.#limits = limits;
    this.#onRequest = onRequest;
  }

  service(name: string): void {
    if (name !== SERVICE || this.#isRequested) {
      this.#transport.disconnect(DISCONNECT.serviceNotAvailable, "there is no such service");
      return;
    }
    this.#isRequested = true;
    this.#transport.send(encodePayload(MSG.serviceAccept, name));
  }

  /** @throws ProtocolError */
  message(payload: Buffer): void {
    if (this.#waiting !== undefined) {
      if (this.#waiting.length >= MAX_WAITING_MESSAGES) throw new ProtocolError("too much before an answer");
      this.#waiting.push(payload);
      return;
    }
    if (payload[0] !== MSG.userauthRequest || !this.#isRequested) {
      throw new ProtocolError(`the client has not ${this.#limits.missing}`);
    }
    const { attempts, nameBytes } = this.#limits;
    const reader = new PayloadReader(payload);
    const user = reader.text(nameBytes);
    const service = reader.text(nameBytes);
    const method = reader.text(nameBytes);
    this.#attempts += 1;
    if (service !== NEXT_SERVICE || (this.#user ?? user) !== user || this.#attempts > attempts) {
      this.#transport.disconnect(DISCONNECT.noMoreAuth, "too many attempts to authenticate");
      return;
    }
    this.#user = user;
    this.#onRequest({ user, method, payload, reader });
  }

  /** Has messages wait from now on; what is returned grows with them. */
  hold(): readonly Buffer[] {
    return (this.#waiting = []);
  }

  /** After a refusal: on with what came meanwhile. */
  goOn(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    try {
      for (const payload of waiting) this.message(payload);
    } catch (error) {
      // Nobody above waits for this.
      if (!(error instanceof ProtocolError)) throw error;
      this.#transport.disconnect(DISCONNECT.protocolError, error.message);
    }
  }
}
