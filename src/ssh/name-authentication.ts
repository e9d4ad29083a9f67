/**
 * Who a client is where the user name is the secret (RFC 4252): whatever method it tries, and whatever it shows with it, the
 * name alone decides. A name that opens nothing is refused as any other, after the same time; nothing that a refused client
 * is told depends on its name.
 */
import { DISCONNECT } from "./message-link.ts";
import { encodePayload, MSG } from "./payload.ts";
import type { SshTransport } from "./transport.ts";
import { UserRequests } from "./user-requests.ts";

/** What a refused client is offered: something that it tries without asking its user for a password. */
const METHODS = "publickey";

/** As many attempts as OpenSSH's server allows. */
const LIMITS = { attempts: 6, nameBytes: 256, missing: "said who it is" };

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
  readonly #requests: UserRequests;

  constructor(options: NameAuthenticationOptions<T>) {
    this.#options = options;
    this.#requests = new UserRequests(options.transport, LIMITS, ({ user }) => void this.#decide(user));
  }

  service(name: string): void {
    this.#requests.service(name);
  }

  /** @throws ProtocolError */
  message(payload: Buffer): void {
    this.#requests.message(payload);
  }

  async #decide(user: string): Promise<void> {
    const { transport, open, refusalMs, accepted } = this.#options;
    const waiting = this.#requests.hold();
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
    transport.send(encodePayload(MSG.userauthFailure, METHODS, false));
    this.#requests.goOn();
  }
}
