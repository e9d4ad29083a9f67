/**
 * One SSH connection after it has been let in (RFC 4254): its channels, and what is asked of it as a whole. What would
 * let the guest reach back to the client's machine (`-R`, X11, an agent) is refused.
 */
import { Channel } from "./channel.ts";
import { openForwarding } from "./forwarding.ts";
import type { SshAccount, SshAddress, SshGuest } from "./guest.ts";
import { MAX_CHANNELS, MAX_NAME_BYTES, MIN_DATA_BYTES } from "./limits.ts";
import type { MessageLink } from "./message-link.ts";
import { encodePayload, MSG, PayloadReader, ProtocolError } from "./payload.ts";
import { Session } from "./session.ts";

/** Why a channel is not opened, RFC 4254, section 5.1. */
const REFUSED = { prohibited: 1, connectFailed: 2, unknownType: 3, noRoom: 4 } as const;
const MAX_PORT = 65_535;
/** The only kind of extended data that there is goes the other way. */
const NO_MORE_SESSIONS = "no-more-sessions@openssh.com";

/** What all connections of a door share. */
export interface ChannelCount {
  /** False if there are too many. */
  take(): boolean;
  give(): void;
}

export interface ConnectionOptions {
  transport: MessageLink;
  guest: SshGuest;
  account: SshAccount;
  count: ChannelCount;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #channels = new Map<number, Channel>();
  readonly #sessions = new Map<number, Session>();
  readonly #over = new AbortController();
  #lastId = -1;
  /** Channels that exist or are being opened. */
  #open = 0;
  #noMoreSessions = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** @throws ProtocolError */
  message(payload: Buffer): void {
    const message = payload[0] ?? 0;
    const reader = new PayloadReader(payload);
    if (message === MSG.globalRequest) this.#globalRequest(reader);
    else if (message === MSG.channelOpen) this.#channelOpen(reader);
    else if (message >= MSG.channelWindowAdjust && message <= MSG.channelRequest) this.#toChannel(message, reader);
    // Answers to what was never asked, and messages of versions to come, mean nothing.
  }

  /** The transport is over: everything that belongs to the client ends. */
  end(): void {
    this.#over.abort();
    for (const channel of [...this.#channels.values()]) channel.abandon();
  }

  #globalRequest(reader: PayloadReader): void {
    const name = reader.text(MAX_NAME_BYTES);
    const wantsAnswer = reader.boolean();
    const isKnown = name === NO_MORE_SESSIONS;
    if (isKnown) this.#noMoreSessions = true;
    // A client's keep-alive wants any answer; OpenSSH's own server refuses it as well.
    if (wantsAnswer) this.#send(encodePayload(isKnown ? MSG.requestSuccess : MSG.requestFailure));
  }

  #channelOpen(reader: PayloadReader): void {
    const type = reader.text(MAX_NAME_BYTES);
    const peer = { id: reader.uint32(), windowBytes: reader.uint32(), maxBytes: reader.uint32() };
    const refuse = (reason: number, text: string): void => {
      this.#send(encodePayload(MSG.channelOpenFailure, peer.id, reason, text, ""));
    };
    if (peer.maxBytes < MIN_DATA_BYTES) throw new ProtocolError("packets that are too short");
    const address = type === "session" ? undefined : readAddress(type, reader);
    if (address === null) {
      refuse(REFUSED.unknownType, `sbx does not serve ${JSON.stringify(type.slice(0, 64))}`);
    } else if (address !== undefined && "port" in address && !isPort(address.port)) {
      // Of one client of a SOCKS proxy, which has others.
      refuse(REFUSED.connectFailed, `there is no port ${address.port}`);
    } else if (type === "session" && this.#noMoreSessions) {
      refuse(REFUSED.prohibited, "the client said that there would be no more sessions");
    } else if (this.#open >= MAX_CHANNELS || !this.#options.count.take()) {
      refuse(REFUSED.noRoom, `too many channels: a connection to a sandbox has up to ${MAX_CHANNELS}`);
    } else {
      this.#open += 1;
      const make = (): Channel => this.#makeChannel(peer);
      const { guest, account } = this.#options;
      if (address === undefined) {
        this.#openSession(make());
        return;
      }
      const failed = (text: string): void => {
        this.#release();
        refuse(REFUSED.connectFailed, text);
      };
      void openForwarding({ guest, account, address, signal: this.#over.signal, make, failed });
    }
  }

  #makeChannel(peer: { id: number; windowBytes: number; maxBytes: number }): Channel {
    const id = (this.#lastId += 1);
    const channel = new Channel(id, this.#options.transport, peer, () => {
      this.#channels.delete(id);
      this.#sessions.delete(id);
      this.#release();
    });
    this.#channels.set(id, channel);
    return channel;
  }

  #openSession(channel: Channel): void {
    const { guest, account } = this.#options;
    this.#sessions.set(channel.id, new Session(channel, guest, account));
    channel.confirm();
  }

  #release(): void {
    this.#open -= 1;
    this.#options.count.give();
  }

  #toChannel(message: number, reader: PayloadReader): void {
    const id = reader.uint32();
    const channel = this.#channels.get(id);
    if (channel === undefined) throw new ProtocolError("a message for a channel that does not exist");
    switch (message) {
      case MSG.channelWindowAdjust:
        channel.adjust(reader.uint32());
        break;
      case MSG.channelData:
        channel.data(reader.bytes());
        break;
      case MSG.channelExtendedData:
        throw new ProtocolError("extended data from a client");
      case MSG.channelEof:
        channel.eofReceived();
        break;
      case MSG.channelClose:
        channel.closeReceived();
        break;
      default:
        this.#request(channel, this.#sessions.get(id), reader);
    }
  }

  #request(channel: Channel, session: Session | undefined, reader: PayloadReader): void {
    const type = reader.text(MAX_NAME_BYTES);
    const wantsAnswer = reader.boolean();
    const answer = wantsAnswer ? channel.expectAnswer() : (): void => undefined;
    if (session === undefined) answer(false);
    else session.request(type, reader, answer);
  }

  #send(payload: Buffer): void {
    this.#options.transport.send(payload);
  }
}

function isPort(port: number): boolean {
  return port >= 1 && port <= MAX_PORT;
}

/** Null for a type that is not served. */
function readAddress(type: string, reader: PayloadReader): SshAddress | null {
  if (type === "direct-tcpip") {
    return { host: reader.text(MAX_NAME_BYTES), port: reader.uint32() };
  }
  return type === "direct-streamlocal@openssh.com" ? { path: reader.text(MAX_NAME_BYTES) } : null;
}
