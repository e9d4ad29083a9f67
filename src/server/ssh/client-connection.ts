/**
 * One client of the SSH gateway. The server exchanges keys with it and reads the user name; what is above that (sessions,
 * files, forwarded connections) it decrypts and sends on to the sandbox's supervisor, message by message, without looking
 * into it. Bytes pass as fast as the other end takes them, each way.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { FramedLink } from "../../ssh/framed-link.ts";
import { DISCONNECT } from "../../ssh/message-link.ts";
import { NameAuthentication } from "../../ssh/name-authentication.ts";
import { MSG, ProtocolError } from "../../ssh/payload.ts";
import { SshTransport } from "../../ssh/transport.ts";
import { MAX_LOGIN_BYTES } from "./limits.ts";

export interface ClientConnectionOptions {
  socket: Socket;
  /** In OpenSSH's format. */
  hostKey: string;
  loginMs: number;
  refusalMs: number;
  /** The sandbox that a user name opens; undefined for none. @throws Error that tells the client why it cannot be had */
  open: (username: string) => Promise<Duplex | undefined>;
  /** It has been let in. */
  onJoined: () => void;
  /** Called once, when nothing more is heard of it, with what went wrong if something did. */
  onEnd: (error: Error | undefined) => void;
}

export class ClientConnection {
  readonly #socket: Socket;
  readonly #transport: SshTransport;
  readonly #options: ClientConnectionOptions;
  readonly #timer: NodeJS.Timeout;
  #link: FramedLink | undefined;

  constructor(options: ClientConnectionOptions) {
    const { socket, hostKey, loginMs, refusalMs, open } = options;
    this.#socket = socket;
    this.#options = options;
    const onMessage = (payload: Buffer): void => {
      if (this.#link === undefined) authentication.message(payload);
      else this.#toSandbox(this.#link, payload);
    };
    this.#transport = new SshTransport(socket, {
      ...{ hostKey, waitsForClient: false },
      onService: (name) => authentication.service(name),
      onMessage: (payload) => this.#guarded(() => onMessage(payload)),
      onEnd: (error) => this.#ended(error),
    });
    const transport = this.#transport;
    const authentication = new NameAuthentication<Duplex>({
      ...{ transport, open, refusalMs },
      accepted: (upstream, waiting) => this.#join(upstream, waiting),
    });
    this.#timer = setTimeout(() => transport.end(new Error("no user name in time")), loginMs);
    socket.on("data", this.#onLoginBytes);
  }

  /** Hangs up with a reason that the client prints. */
  disconnect(why: string): void {
    this.#transport.disconnect(DISCONNECT.byApplication, why);
  }

  /** Hangs up at once. */
  destroy(why: string): void {
    this.#transport.end(new Error(why));
  }

  #join(upstream: Duplex, waiting: readonly Buffer[]): void {
    clearTimeout(this.#timer);
    this.#socket.off("data", this.#onLoginBytes);
    const link = (this.#link = new FramedLink(upstream, {
      onMessage: (payload) => this.#toClient(link, payload),
      // One that says goodbye itself has ended the transport before.
      onEnd: () => this.disconnect("the sandbox is gone"),
    }));
    this.#options.onJoined();
    if (upstream.destroyed) this.disconnect("the sandbox is gone"); // nobody hears of it any more
    for (const payload of waiting) this.#toSandbox(link, payload);
  }

  #toSandbox(link: FramedLink, payload: Buffer): void {
    link.send(payload);
    if (link.hasRoom || this.#socket.isPaused()) return;
    this.#socket.pause();
    void link.writable().then(() => this.#socket.resume());
  }

  #toClient(link: FramedLink, payload: Buffer): void {
    const transport = this.#transport;
    transport.send(payload);
    if (payload[0] === MSG.disconnect) transport.end(undefined);
    if (transport.hasRoom || transport.isOver || link.isPaused) return;
    link.pause();
    void transport.writable().then(() => link.resume());
  }

  #ended(error: Error | undefined): void {
    clearTimeout(this.#timer);
    this.#link?.close();
    this.#options.onEnd(error);
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#transport.disconnect(DISCONNECT.protocolError, error.message);
    }
  }

  readonly #onLoginBytes = (): void => {
    if (this.#socket.bytesRead > MAX_LOGIN_BYTES) this.destroy("too much before a user name");
  };
}
