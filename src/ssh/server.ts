/**
 * The SSH door of one sandbox: takes connections that somebody who may use the sandbox has opened, each with the key that
 * its client has to have. docs/ssh.md describes what it serves.
 */
import type { Duplex } from "node:stream";
import { Authentication } from "./authentication.ts";
import { Connection, type ChannelCount } from "./connection.ts";
import type { SshAccount, SshGuest } from "./guest.ts";
import { FramedLink } from "./framed-link.ts";
import { HANDSHAKE_MS, MAX_CHANNELS_IN_ALL, MAX_CONNECTIONS } from "./limits.ts";
import { DISCONNECT, type MessageLink } from "./message-link.ts";
import { ProtocolError } from "./payload.ts";
import type { PublicKey } from "./public-key.ts";
import { SshTransport } from "./transport.ts";

export interface SshServerOptions {
  guest: SshGuest;
  /** In OpenSSH's format. */
  hostKey: string;
  handshakeMs?: number;
}

export interface AcceptOptions {
  /** The server says nothing before the client has: whoever opened the connection gives its socket away first. */
  waitsForClient?: boolean;
}

export class SshServer {
  readonly #options: SshServerOptions;
  readonly #open = new Set<MessageLink>();
  readonly #count: ChannelCount;
  #channels = 0;

  constructor(options: SshServerOptions) {
    this.#options = options;
    this.#count = {
      take: () => {
        if (this.#channels >= MAX_CHANNELS_IN_ALL) return false;
        this.#channels += 1;
        return true;
      },
      give: () => (this.#channels -= 1),
    };
  }

  /** Whether one more connection would be taken. */
  get hasRoom(): boolean {
    return this.#open.size < MAX_CONNECTIONS;
  }

  /** Serves a connection, whose client must have this key. */
  accept(socket: Duplex, key: PublicKey, { waitsForClient = false }: AcceptOptions = {}): void {
    let connection: Connection | undefined;
    const { guest, hostKey, handshakeMs = HANDSHAKE_MS } = this.#options;
    const transport = new SshTransport(socket, {
      hostKey,
      waitsForClient,
      onService: (name) => authentication.service(name),
      onMessage: (payload) => guarded(transport, () => (connection ?? authentication).message(payload)),
      onEnd: () => {
        clearTimeout(timer);
        this.#open.delete(transport);
        connection?.end();
      },
    });
    const authentication = new Authentication({
      ...{ transport, guest, key },
      accepted: (account, waiting) => {
        clearTimeout(timer);
        const accepted = (connection = new Connection({ transport, guest, account, count: this.#count }));
        guarded(transport, () => waiting.forEach((payload) => accepted.message(payload)));
      },
    });
    const timer = setTimeout(() => transport.end(new Error("no key in time")), handshakeMs);
    this.#open.add(transport);
  }

  /** Serves a client that whoever opened the connection knows, and whose transport ends there: messages come in frames. */
  acceptKnown(socket: Duplex, account: SshAccount): void {
    const link: FramedLink = new FramedLink(socket, {
      onMessage: (payload) => guarded(link, () => connection.message(payload)),
      onEnd: () => {
        this.#open.delete(link);
        connection.end();
      },
    });
    const connection = new Connection({ transport: link, guest: this.#options.guest, account, count: this.#count });
    this.#open.add(link);
  }

  /** Hangs up on everybody. */
  close(text: string): void {
    for (const transport of [...this.#open]) transport.disconnect(DISCONNECT.byApplication, text);
  }
}

function guarded(link: MessageLink, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    link.disconnect(DISCONNECT.protocolError, error.message);
  }
}
