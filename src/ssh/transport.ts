/**
 * The transport of one SSH connection (RFC 4253): key exchange and encryption are ssh2's, everything above is ours. Of
 * ssh2's own server nothing is used: its channels confuse stdout with stderr when a client's window is full, keep what a
 * slow socket does not take, and break messages that are sent while keys are exchanged anew (1.17.0).
 */
import type { Duplex } from "node:stream";
import keyParser from "ssh2/lib/protocol/keyParser.js";
import Protocol from "ssh2/lib/protocol/Protocol.js";
import { ALGORITHMS } from "./algorithms.ts";
import { hangUp } from "./hang-up.ts";
import { MAX_UNSENT_BYTES, UNSENT_BYTES } from "./limits.ts";
import type { MessageLink } from "./message-link.ts";
import { encodePayload, MSG } from "./payload.ts";

/** OpenSSH's client tells only servers that begin like this when nobody reads their output any more. */
const IDENT = "OpenSSH_sbx";
/** Messages below this number are the transport's own. */
const FIRST_SERVICE_MESSAGE = 50;
/** Of a packet, before its payload: its length, and that of the padding. */
const HEAD_BYTES = 5;

export interface TransportOptions {
  /** The server's first line waits for the client's first byte. */
  waitsForClient: boolean;
  /** In OpenSSH's format. */
  hostKey: string;
  onService: (name: string) => void;
  /** A message above the transport, decrypted. */
  onMessage: (payload: Buffer) => void;
  /** Called once, with what went wrong if something did. */
  onEnd: (error: Error | undefined) => void;
}

export class SshTransport implements MessageLink {
  readonly #socket: Duplex;
  readonly #protocol: Protocol;
  readonly #options: TransportOptions;
  /** Payloads that wait for new keys. */
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  readonly #waiting: (() => void)[] = [];
  #isStarted = false;
  #corked = false;
  #over = false;

  constructor(socket: Duplex, options: TransportOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#protocol = new Protocol({
      server: true,
      ident: IDENT,
      hostKeys: hostKeys(options.hostKey),
      // Copied, as ssh2 adds to it.
      offer: { ...ALGORITHMS },
      onWrite: (data) => this.#write(data),
      onError: (error) => this.end(error),
      onHandshakeComplete: () => this.#release(),
      messageHandlers: {
        DISCONNECT: () => this.end(undefined),
        SERVICE_REQUEST: (_protocol, service) => options.onService(service),
      },
    });
    this.#takeServiceMessages();
    socket.on("error", (error) => this.end(error));
    socket.on("end", () => this.end(undefined));
    socket.on("close", () => this.end(undefined));
    socket.on("drain", () => this.#wake());
    socket.on("data", (chunk: Buffer) => this.#parse(chunk));
    if (!options.waitsForClient) this.#start();
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** The hash of the first key exchange, which signatures of clients begin with. */
  get sessionId(): Buffer {
    const id = this.#protocol._kex?.sessionID;
    if (id === undefined) throw new Error("there has been no key exchange yet");
    return id;
  }

  send(payload: Buffer, more?: Buffer): void {
    if (this.#over) return;
    if (this.#isExchanging()) {
      const whole = more === undefined ? payload : Buffer.concat([payload, more]);
      this.#held.push(whole);
      this.#heldBytes += whole.length;
    } else this.#encrypt(payload, more);
    // A client that reads nothing and makes us answer all the same.
    if (this.#heldBytes + this.#socket.writableLength > MAX_UNSENT_BYTES) this.end(new Error("it reads too slowly"));
  }

  get hasRoom(): boolean {
    return !this.#isExchanging() && this.#socket.writableLength < UNSENT_BYTES;
  }

  async writable(): Promise<void> {
    while (!this.#over && !this.hasRoom) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  disconnect(reason: number, text: string): void {
    if (this.#over) return;
    if (!this.#isExchanging()) this.#encrypt(encodePayload(MSG.disconnect, reason, text, ""));
    this.end(undefined);
  }

  /** Ends the connection. Nothing is sent any more but what has been sent. */
  end(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#uncork();
    if (error === undefined) hangUp(this.#socket);
    else this.#socket.destroy();
    // The client has said all that will be listened to.
    this.#socket.resume();
    this.#protocol.cleanup();
    this.#held.length = 0;
    this.#wake();
    this.#options.onEnd(error);
  }

  #start(): void {
    this.#isStarted = true;
    this.#protocol.start();
  }

  #parse(chunk: Buffer): void {
    if (this.#over) return;
    try {
      if (!this.#isStarted) this.#start();
      this.#protocol.parse(chunk, 0, chunk.length);
    } catch (error) {
      this.end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** ssh2 would take the messages of the services apart as well; those are ours. */
  #takeServiceMessages(): void {
    const own = this.#protocol._onPayload;
    this.#protocol._onPayload = (payload) => {
      if (this.#over) return undefined;
      const message = payload[0] ?? 0;
      if (message < FIRST_SERVICE_MESSAGE) return own(payload);
      this.#options.onMessage(payload);
      return undefined;
    };
  }

  #isExchanging(): boolean {
    return this.#protocol._kexinit !== undefined;
  }

  #release(): void {
    for (const payload of this.#held.splice(0)) this.#encrypt(payload);
    this.#heldBytes = 0;
    this.#wake();
  }

  #encrypt(payload: Buffer, more?: Buffer): void {
    const cipher = this.#protocol._cipher;
    const packet = cipher.allocPacket(payload.length + (more?.length ?? 0));
    packet.set(payload, HEAD_BYTES);
    if (more !== undefined) packet.set(more, HEAD_BYTES + payload.length);
    cipher.encrypt(packet);
  }

  /** A packet comes in three parts; what is sent in one turn goes in one system call. */
  #write(data: Buffer): void {
    if (this.#socket.destroyed || !this.#socket.writable) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => this.#uncork());
    }
    this.#socket.write(data);
  }

  #uncork(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket.uncork();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

function hostKeys(text: string): Record<string, unknown> {
  const key = keyParser.parseKey(text);
  if (key instanceof Error) throw key;
  return { [key.type]: key };
}
