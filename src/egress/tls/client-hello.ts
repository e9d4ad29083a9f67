/**
 * Reads the TLS ClientHello at the beginning of a connection (RFC 8446, 4.1.2; RFC 6066 for the server's name). The
 * bytes are the guest's and hostile: what is not well formed is never taken for "no name", because whoever stands behind
 * may read it differently.
 */
import { ByteReader, MalformedError } from "./byte-reader.ts";

/** Of the handshake message: post-quantum key shares and session tickets take a few kilobytes. */
export const MAX_HELLO_BYTES = 32 * 1024;

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
/** RFC 8446, 5.1. */
const MAX_RECORD_BYTES = 16 * 1024;
/** Some programs cut their ClientHello into a few records. */
const MAX_RECORDS = 64;

/** Of records since SSL 3: change of the cipher, alert, handshake, data, heartbeat. */
const CONTENT_TYPES = { first: 20, last: 24 } as const;
const CONTENT_ALERT = 21;
const ALERT_BYTES = 2;
const CONTENT_HANDSHAKE = 22;
const HANDSHAKE_CLIENT_HELLO = 1;
/** Of every version's records since SSL 3. */
const MAJOR_VERSION = 3;
/** Of what Go's library takes for TLS before it knows the version. */
const MAX_LENIENT_MAJOR_VERSION = 15;

const EXTENSION = { serverName: 0, alpn: 16, encryptedClientHello: 0xfe0d } as const;
const NAME_TYPE_HOST = 0;

/** Letters, digits, hyphens and underscores between dots: what is allowed in the A-label form of a name. */
const HOST_NAME = /^(?=.{1,254}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/;

export interface ClientHello {
  /** In lower case, without a final dot. */
  serverName: string | null;
  /** Protocols that the client offers, as latin1 text. */
  alpn: readonly string[];
  /** Whether there is an encrypted ClientHello inside (which may be a decoy: browsers always send one). */
  ech: boolean;
}

export type HelloVerdict =
  | { kind: "more" }
  /** Not TLS. */
  | { kind: "other" }
  /** Begins as TLS does, and then is not what a client sends. */
  | { kind: "malformed"; reason: string }
  /** `endByte` is where its last record ends. */
  | { kind: "hello"; hello: ClientHello; endByte: number };

const MORE: HelloVerdict = { kind: "more" };
const OTHER: HelloVerdict = { kind: "other" };

/** Looks at the bytes of one direction of a connection while they become more. */
export class ClientHelloScanner {
  #verdict: HelloVerdict = MORE;
  /** Where the next record begins, or will begin. */
  #at = 0;
  /** Payloads of the records so far; the message may be cut over several. */
  readonly #payloads: { start: number; end: number }[] = [];

  /**
   * @param bytes all bytes from the connection's first one on: those of the call before, and those that came since
   * @returns after a verdict always the same one. Never throws.
   */
  scan(bytes: Buffer): HelloVerdict {
    while (this.#verdict === MORE && bytes.length > this.#at) {
      const before = this.#at;
      this.#verdict = this.#readRecord(bytes);
      if (this.#at === before) break;
    }
    return this.#verdict;
  }

  /** Reads the header at `#at`, and moves on where it and its payload are there. */
  #readRecord(bytes: Buffer): HelloVerdict {
    const isFirst = this.#payloads.length === 0;
    const header = bytes.subarray(this.#at, this.#at + RECORD_HEADER_BYTES);
    if (header[0] !== CONTENT_HANDSHAKE) {
      return isFirst ? judgeOtherType(header) : malformed("a record of another type in the middle of a ClientHello");
    }
    const start = this.#at + RECORD_HEADER_BYTES;
    if (bytes.length < start + 1) return MORE;
    if (header[1] !== MAJOR_VERSION) {
      // Servers may ignore a record's version (RFC 8446, 5.1), so the next byte decides.
      if (isFirst && bytes[start] !== HANDSHAKE_CLIENT_HELLO) return OTHER;
      return malformed("a record of an unknown version");
    }
    const length = header.readUInt16BE(3);
    if (length === 0 || length > MAX_RECORD_BYTES) return malformed(`a record of ${length} bytes`);
    if (isFirst && bytes[start] !== HANDSHAKE_CLIENT_HELLO) {
      return malformed("a handshake that does not begin with a ClientHello");
    }
    if (this.#payloads.length === MAX_RECORDS) return malformed(`a ClientHello in more than ${MAX_RECORDS} records`);
    const payload = { start, end: start + length };
    const verdict = this.#readMessage(bytes, payload);
    if (verdict === MORE && bytes.length >= payload.end) {
      this.#payloads.push(payload);
      this.#at = payload.end;
    }
    return verdict;
  }

  /** @param last the record that is being received */
  #readMessage(bytes: Buffer, last: { start: number; end: number }): HelloVerdict {
    const before = this.#payloads.reduce((sum, { start, end }) => sum + end - start, 0);
    const received = before + Math.min(bytes.length, last.end) - last.start;
    if (received < HANDSHAKE_HEADER_BYTES) return MORE;
    const parts = [...this.#payloads, last].map(({ start, end }) => bytes.subarray(start, end));
    const expected = HANDSHAKE_HEADER_BYTES + Buffer.concat(parts, HANDSHAKE_HEADER_BYTES).readUIntBE(1, 3);
    if (expected > MAX_HELLO_BYTES) return malformed(`a ClientHello of ${expected} bytes`);
    if (received < expected) return MORE;
    // Early data comes in records of its own.
    if (before + last.end - last.start !== expected) return malformed("a ClientHello that shares its record");
    return parseMessage(Buffer.concat(parts).subarray(HANDSHAKE_HEADER_BYTES), last.end);
  }
}

/**
 * No client begins with such a record, but some servers discard one (Go's library and BoringSSL do so with warnings) and
 * go on to a ClientHello that nobody would have looked at.
 *
 * @param header as much as there is of it
 */
function judgeOtherType(header: Buffer): HelloVerdict {
  const [type = 0, majorVersion] = header;
  if (type < CONTENT_TYPES.first || type > CONTENT_TYPES.last) return OTHER;
  if (majorVersion === undefined) return MORE;
  if (majorVersion === MAJOR_VERSION) return malformed("a record of another type before the ClientHello");
  if (type !== CONTENT_ALERT || majorVersion > MAX_LENIENT_MAJOR_VERSION) return OTHER;
  if (header.length < RECORD_HEADER_BYTES) return MORE;
  return header.readUInt16BE(3) === ALERT_BYTES ? malformed("an alert before the ClientHello") : OTHER;
}

function malformed(reason: string): HelloVerdict {
  return { kind: "malformed", reason };
}

function parseMessage(body: Buffer, endByte: number): HelloVerdict {
  try {
    return { kind: "hello", hello: parseHello(new ByteReader(body)), endByte };
  } catch (error) {
    if (error instanceof MalformedError) return malformed(error.message);
    throw error;
  }
}

function parseHello(reader: ByteReader): ClientHello {
  reader.bytes(2 + 32); // legacy_version, random
  reader.vector8(0, 32); // legacy_session_id
  reader.vector16(2); // cipher_suites
  reader.vector8(1, 255); // legacy_compression_methods
  const hello: ClientHello = { serverName: null, alpn: [], ech: false };
  // Clients of TLS 1.2 and older may leave extensions out.
  if (reader.atEnd) return hello;
  const extensions = reader.vector16(0);
  reader.expectEnd("a ClientHello");
  const seen = new Set<number>();
  while (!extensions.atEnd) {
    const type = extensions.uint16();
    const data = extensions.vector16(0);
    if (seen.has(type)) throw new MalformedError(`extension ${type} twice`);
    seen.add(type);
    if (type === EXTENSION.serverName) hello.serverName = parseServerName(data);
    else if (type === EXTENSION.alpn) hello.alpn = parseAlpn(data);
    else if (type === EXTENSION.encryptedClientHello) hello.ech = true;
  }
  return hello;
}

/** One name of the one type that there is: with more, two readers might choose differently. */
function parseServerName(data: ByteReader): string {
  const list = data.vector16(1);
  data.expectEnd("the server name");
  const type = list.uint8();
  if (type !== NAME_TYPE_HOST) throw new MalformedError(`a server name of type ${type}`);
  const name = list.vector16(1).rest().toString("latin1").toLowerCase();
  list.expectEnd("the list of server names");
  if (!HOST_NAME.test(name)) throw new MalformedError("a server name that is no host name");
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

function parseAlpn(data: ByteReader): string[] {
  const list = data.vector16(2);
  data.expectEnd("the list of protocols");
  const protocols: string[] = [];
  while (!list.atEnd) protocols.push(list.vector8(1, 255).rest().toString("latin1"));
  return protocols;
}
