/**
 * Who a client is (RFC 4252): it has to have the key that was named by whoever opened the connection. There is no other
 * way in. The account is looked up in the guest meanwhile, so that this takes no time of its own.
 */
import type { SshAccount, SshGuest } from "./guest.ts";
import { MAX_AUTH_ATTEMPTS, MAX_NAME_BYTES } from "./limits.ts";
import { encodePayload, MSG, type Field } from "./payload.ts";
import { isSignedBy, KEY_TYPE, type PublicKey } from "./public-key.ts";
import type { SshTransport } from "./transport.ts";
import { UserRequests, type UserRequest } from "./user-requests.ts";

const METHOD = "publickey";
const LIMITS = { attempts: MAX_AUTH_ATTEMPTS, nameBytes: MAX_NAME_BYTES, missing: "proved who it is" };

export interface AuthenticationOptions {
  transport: SshTransport;
  guest: SshGuest;
  key: PublicKey;
  /** Called once; messages go elsewhere from then on. */
  accepted: (account: SshAccount, waiting: readonly Buffer[]) => void;
}

export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #requests: UserRequests;
  #account: Promise<SshAccount | undefined> | undefined;

  constructor(options: AuthenticationOptions) {
    this.#options = options;
    this.#requests = new UserRequests(options.transport, LIMITS, (request) => this.#request(request));
  }

  service(name: string): void {
    this.#requests.service(name);
  }

  /** @throws ProtocolError */
  message(payload: Buffer): void {
    this.#requests.message(payload);
  }

  #request(request: UserRequest): void {
    const { guest } = this.#options;
    const { user, method } = request;
    this.#account ??= guest.findAccount(user);
    this.#account.catch(() => undefined); // whoever waits for it is told
    if (method === METHOD) this.#publicKey(request);
    else this.#refuse();
  }

  #publicKey({ user, payload, reader }: UserRequest): void {
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
      if (isSignedBy(key, reader.bytes(), signed)) void this.#admit(user);
      else this.#refuse();
    }
  }

  async #admit(user: string): Promise<void> {
    const { transport, accepted } = this.#options;
    const waiting = this.#requests.hold();
    let why = `the sandbox has no account ${JSON.stringify(user)}`;
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
    this.#send(MSG.userauthBanner, `sbx: ${why}\r\n`, "");
    this.#refuse();
    this.#requests.goOn();
  }

  #refuse(): void {
    this.#send(MSG.userauthFailure, METHOD, false);
  }

  #send(message: number, ...fields: readonly Field[]): void {
    this.#options.transport.send(encodePayload(message, ...fields));
  }
}
