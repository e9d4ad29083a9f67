/**
 * DNS messages (RFC 1035, EDNS0 of RFC 6891, extended errors of RFC 8914), as far as a resolver needs them that answers
 * everything itself. Queries come from a hostile guest: names are bounded, pointers are never followed, and a query that
 * is not exactly one question is answered with an error or not at all.
 */
import { DNS_CLASS, DNS_TYPE, EXTENDED_ERROR_OPTION, FLAG, OPCODE_MASK, RCODE } from "./numbers.ts";

/** A query and its answer have this much before the question, `bytes`. */
const HEADER_BYTES = 12;
/** RFC 1035, of a name on the wire with its lengths. */
const MAX_NAME_BYTES = 255;
/** Longest UDP answer where the query does not say, `bytes`. */
const PLAIN_UDP_BYTES = 512;
/** What answers announce and never exceed over UDP, `bytes`: DNS flag day 2020's. */
const EDNS_UDP_BYTES = 1232;
const MAX_TCP_BYTES = 65_535;
/** Records beside the question that a query may have: OPT, and a signature or two that mean nothing here. */
const MAX_ADDITIONAL = 4;

export interface DnsQuery {
  id: number;
  flags: number;
  /** The question as it was sent, to be echoed: resolvers check the case of its letters. */
  question: Buffer;
  /** In lower case, without the final dot; `null` for a name with bytes that no host name has. */
  name: string | null;
  /** For a log: as `name`, with other bytes as `\\DDD`. */
  shownName: string;
  type: number;
  class: number;
  /** `null` for a query without EDNS. */
  edns: { udpBytes: number; version: number; wantsDnssec: boolean } | null;
}

export type ParsedQuery =
  | { kind: "query"; query: DnsQuery }
  /** It can be answered with this error and nothing else. */
  | { kind: "error"; id: number; flags: number; rcode: number }
  /** Not even that. */
  | { kind: "noise" };

export interface DnsRecord {
  type: number;
  /** `seconds` */
  ttl: number;
  data: Buffer;
}

export interface DnsAnswer {
  rcode: number;
  records: readonly DnsRecord[];
  /** Told to queries with EDNS, unless it does not fit. */
  extended?: { code: number; text: string };
}

/** Reads a query. Never throws. */
export function parseQuery(message: Buffer): ParsedQuery {
  if (message.length < HEADER_BYTES) return { kind: "noise" };
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG.response) !== 0) return { kind: "noise" };
  const fail = (rcode: number): ParsedQuery => ({ kind: "error", id, flags, rcode });
  if ((flags & OPCODE_MASK) !== 0) return fail(RCODE.notImplemented);
  const [questions, answers, authorities, additional] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  if (questions !== 1 || answers !== 0 || authorities !== 0) return fail(RCODE.formatError);
  if (additional === undefined || additional > MAX_ADDITIONAL) return fail(RCODE.formatError);
  const name = readName(message, HEADER_BYTES);
  if (name === undefined || name.end + 4 > message.length) return fail(RCODE.formatError);
  const edns = readAdditional(message, name.end + 4, additional);
  if (edns === undefined) return fail(RCODE.formatError);
  const query: DnsQuery = {
    id,
    flags,
    question: Buffer.from(message.subarray(HEADER_BYTES, name.end + 4)),
    name: name.text,
    shownName: name.shown,
    type: message.readUInt16BE(name.end),
    class: message.readUInt16BE(name.end + 2),
    edns,
  };
  return { kind: "query", query };
}

/** The answer to a query of which only the header could be read. */
export function encodeError({ id, flags, rcode }: { id: number; flags: number; rcode: number }): Buffer {
  return encodeHeader({ id, flags, rcode, truncated: false, counts: [0, 0, 0, 0] });
}

/** An answer that fits: without its extra text, or truncated, where it would be too long. */
export function encodeAnswer(query: DnsQuery, answer: DnsAnswer, transport: "udp" | "tcp"): Buffer {
  const limit = transport === "tcp" ? MAX_TCP_BYTES : udpLimit(query);
  for (const extended of [answer.extended, withoutText(answer.extended), undefined]) {
    const message = encodeMessage(query, answer, extended, false);
    if (message.length <= limit) return message;
  }
  return encodeMessage(query, { ...answer, records: [] }, undefined, true);
}

/** A host name as it is in a record. @param name canonical */
export function encodeName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "latin1")])),
    Buffer.from([0]),
  ]);
}

/** Undefined where there is no name. A pointer has nothing to point at in a question, so it is not one either. */
function readName(message: Buffer, start: number): { text: string | null; shown: string; end: number } | undefined {
  const labels: string[] = [];
  let plain = true;
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63) return undefined;
    at += 1;
    if (length === 0) break;
    if (at + length - start >= MAX_NAME_BYTES || at + length > message.length) return undefined;
    const label = message.toString("latin1", at, at + length);
    // A dot within a label would make one name look like another.
    plain &&= /^[A-Za-z0-9_-]+$/.test(label);
    labels.push(label.toLowerCase());
    at += length;
  }
  const shown = labels.map((label) => label.replace(/[^a-z0-9_-]/g, escapeByte)).join(".");
  return { text: plain ? shown : null, shown, end: at };
}

function escapeByte(character: string): string {
  return `\\${character.charCodeAt(0).toString().padStart(3, "0")}`;
}

/** The OPT record's content, `null` without one; undefined where the rest of the message is not what it should be. */
function readAdditional(message: Buffer, start: number, count: number): DnsQuery["edns"] | undefined {
  let at = start;
  let edns: DnsQuery["edns"] = null;
  for (let record = 0; record < count; record++) {
    const nameEnd = skipName(message, at);
    if (nameEnd === undefined || nameEnd + 10 > message.length) return undefined;
    const type = message.readUInt16BE(nameEnd);
    const end = nameEnd + 10 + message.readUInt16BE(nameEnd + 8);
    if (end > message.length) return undefined;
    if (type === DNS_TYPE.OPT) {
      if (edns !== null || nameEnd !== at + 1) return undefined;
      const extended = message.readUInt32BE(nameEnd + 4);
      edns = {
        udpBytes: message.readUInt16BE(nameEnd + 2),
        version: (extended >>> 16) & 0xff,
        wantsDnssec: (extended & 0x8000) !== 0,
      };
    }
    at = end;
  }
  return at === message.length ? edns : undefined;
}

/** A name of a record, which may end in a pointer. */
function skipName(message: Buffer, start: number): number | undefined {
  for (let at = start; at - start <= MAX_NAME_BYTES;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > 63) return undefined;
    at += 1 + length;
  }
  return undefined;
}

function udpLimit({ edns }: DnsQuery): number {
  if (edns === null) return PLAIN_UDP_BYTES;
  return Math.min(Math.max(edns.udpBytes, PLAIN_UDP_BYTES), EDNS_UDP_BYTES);
}

function withoutText(extended: DnsAnswer["extended"]): DnsAnswer["extended"] {
  return extended === undefined ? undefined : { code: extended.code, text: "" };
}

function encodeMessage(
  query: DnsQuery,
  answer: DnsAnswer,
  extended: DnsAnswer["extended"],
  truncated: boolean,
): Buffer {
  const { id, flags, question, edns } = query;
  const { rcode, records } = answer;
  const header = encodeHeader({ id, flags, rcode, truncated, counts: [1, records.length, 0, edns === null ? 0 : 1] });
  const opt = edns === null ? [] : [encodeOpt(rcode, edns.wantsDnssec, extended)];
  return Buffer.concat([header, question, ...records.map(encodeRecord), ...opt]);
}

function encodeHeader(options: {
  id: number;
  flags: number;
  rcode: number;
  truncated: boolean;
  counts: readonly number[];
}): Buffer {
  const { id, flags, rcode, truncated, counts } = options;
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  const echoed = flags & (OPCODE_MASK | FLAG.recursionDesired | FLAG.checkingDisabled);
  const own = FLAG.response | FLAG.recursionAvailable | (truncated ? FLAG.truncated : 0);
  header.writeUInt16BE(echoed | own | (rcode & 0xf), 2);
  for (const [at, count] of counts.entries()) header.writeUInt16BE(count, 4 + 2 * at);
  return header;
}

/** The owner is the question's name, by a pointer. */
function encodeRecord({ type, ttl, data }: DnsRecord): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(DNS_CLASS.IN, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function encodeOpt(rcode: number, wantsDnssec: boolean, extended: DnsAnswer["extended"]): Buffer {
  const option = extended === undefined ? Buffer.alloc(0) : encodeExtended(extended);
  const head = Buffer.alloc(11);
  head.writeUInt16BE(DNS_TYPE.OPT, 1);
  head.writeUInt16BE(EDNS_UDP_BYTES, 3);
  head.writeUInt8(rcode >>> 4, 5);
  head.writeUInt16BE(wantsDnssec ? 0x8000 : 0, 7);
  head.writeUInt16BE(option.length, 9);
  return Buffer.concat([head, option]);
}

function encodeExtended({ code, text }: { code: number; text: string }): Buffer {
  const data = Buffer.from(text, "utf8");
  const head = Buffer.alloc(6);
  head.writeUInt16BE(EXTENDED_ERROR_OPTION, 0);
  head.writeUInt16BE(2 + data.length, 2);
  head.writeUInt16BE(code, 4);
  return Buffer.concat([head, data]);
}
