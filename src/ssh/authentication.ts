/**
 * Who a client is (RFC 4252): it has to have the key that was named by whoever opened the connection. There is no other
 * way in. The account is looked up in the guest meanwhile, so that this takes no time of its own.
 */
import type { SshAccount, SshGuest } from "./guest.ts";
import { MAX_AUTH_ATTEMPTS, MAX_NAME_BYTES, MAX_WAITING_MESSAGES } from "./limits.ts";
import { DISCONNECT } from "./message-link.ts";
import { encodePayload, MSG, PayloadReader, ProtocolError, type Field } from "./payload.ts";
import { isSignedBy, KEY_TYPE, type PublicKey } from "./public-key.ts";
import type { SshTransport } from "./transport.ts";

const SERVICE = "ssh-userauth";
const NEXT_SERVICE = "ssh-connection";
const METHOD = "publickey";

export interface AuthenticationOptions {
  transport: SshTransport;
  guest: SshGuest;
  key: PublicKey;
  /** Called once; messages go elsewhere from then on. */
  accepted: (account: SshAccount, waiting: readonly Buffer[]) => void;
}

export class Authentication {
  readonly #options: AuthenticationOptions;
  #isRequested = false;
  #attempts = 0;
  #user: string | undefined;
  #account: Promise<SshAccount | undefined> | undefined;
  /** Messages that came while the guest was asked; undefined while it is not. */
  #waiting: Buffer[] | undefined;

  constructor(options: AuthenticationOptions) {
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
      throw new ProtocolError("the client has not proved who it is");
    }
    this.#request(payload);
  }

  #request(payload: Buffer): void {
    const { transport, guest } = this.#options;
    const reader = new PayloadReader(payload);
    const user = reader.text(MAX_NAME_BYTES);
    const service = reader.text(MAX_NAME_BYTES);
    const method = reader.text(MAX_NAME_BYTES);
    this.#attempts += 1;
    if (service !== NEXT_SERVICE || (this.#user ?? user) !== user || this.#attempts > MAX_AUTH_ATTEMPTS) {
      transport.disconnect(DISCONNECT.noMoreAuth, "too many attempts to authenticate");
      return;
    }
    this.#user = user;
    this.#account ??= guest.findAccount(user);
    this.#account.catch(() => undefined); // whoever waits for it is told
    if (method === METHOD) this.#publicKey(payload, reader);
    else this.#refuse();
  }

  #publicKey(payload: Buffer, reader: PayloadReader): void {
    const { transport, key } = this.#options;
    const isSigned = reader.boolean();
    const type = reader.text(MAX_NAME_BYTES);
    const blob = reader.bytes();
    const signedUpTo = reader.position;
    if (type !== KEY_TYPE || !blob.equals(key.blob)) {
      this.#refuse();
    } else if (!isSigned) {
      this.#send(MSG.userauthPkOk, type, blob);
    } else {
      // RFC 4252, 7: the session's id as a field, then the request up to the signature.
      const id = transport.sessionId;
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32BE(id.length);
      const signed = Buffer.concat([length, id, payload.subarray(0, signedUpTo)]);
      if (isSignedBy(key, reader.bytes(), signed)) void this.#admit();
      else this.#refuse();
    }
  }

  async #admit(): Promise<void> {
    const { transport, accepted } = this.#options;
    const waiting = (this.#waiting = []);
    let why = `the sandbox has no account ${JSON.stringify(this.#user)}`;
    try {
      const account = await this.#account;
      if (transport.isOver) return;
      if (account !== undefined) {
        this.#send(MSG.userauthSuccess);
        accepted(account, waiting);
        return;
      }
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    this.#waiting = undefined;
    this.#send(MSG.userauthBanner, `sbx: ${why}\r\n`, "");
    this.#refuse();
    try {
      waiting.forEach((payload) => this.message(payload));
    } catch (error) {
      // Nobody above waits for this.
      if (!(error instanceof ProtocolError)) throw error;
      transport.disconnect(DISCONNECT.protocolError, error.message);
    }
  }

  #refuse(): void {
    this.#send(MSG.userauthFailure, METHOD, false);
  }

  #send(message: number, ...fields: readonly Field[]): void {
    this.#options.transport.send(encodePayload(message, ...fields));
  }
}
