/** DNS messages as a client makes and reads them, by hand, so that the codec is not tested with itself. */
import assert from "node:assert/strict";

export interface QueryOptions {
  id?: number;
  flags?: number;
  type?: number;
  class?: number;
  /** UDP size of an OPT record; none without it. */
  edns?: number;
  ednsVersion?: number;
  dnssec?: boolean;
  counts?: readonly [number, number, number, number];
  /** Put behind everything. */
  tail?: Buffer;
}

export const TYPES = {
  ...{ A: 1, NS: 2, CNAME: 5, SOA: 6, NULL: 10, PTR: 12, HINFO: 13, MX: 15, TXT: 16, AAAA: 28, SRV: 33, NAPTR: 35 },
  ...{ OPT: 41, DS: 43, SSHFP: 44, RRSIG: 46, DNSKEY: 48, TLSA: 52, CDS: 59, OPENPGPKEY: 61, SVCB: 64, HTTPS: 65 },
  ...{ SPF: 99, TKEY: 249, TSIG: 250, IXFR: 251, AXFR: 252, MAILB: 253, MAILA: 254, ANY: 255, URI: 256, CAA: 257 },
} as const;

/** @param name labels between dots, or the bytes of one on the wire */
export function query(name: string | Buffer, options: QueryOptions = {}): Buffer {
  const {
    id = 0x1234,
    flags = 0x0100,
    type = TYPES.A,
    class: kind = 1,
    edns,
    ednsVersion = 0,
    dnssec = false,
  } = options;
  const counts = options.counts ?? [1, 0, 0, edns === undefined ? 0 : 1];
  const header = words(id, flags, ...counts);
  const question = Buffer.concat([typeof name === "string" ? wireName(name) : name, words(type, kind)]);
  const opt =
    edns === undefined
      ? Buffer.alloc(0)
      : Buffer.concat([
          Buffer.from([0]),
          words(41, edns),
          Buffer.from([0, ednsVersion]),
          words(dnssec ? 0x8000 : 0, 0),
        ]);
  return Buffer.concat([header, question, opt, options.tail ?? Buffer.alloc(0)]);
}

export function wireName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([...labels.map((label) => wireLabel(Buffer.from(label, "latin1"))), Buffer.from([0])]);
}

export function wireLabel(label: Buffer): Buffer {
  return Buffer.concat([Buffer.from([label.length]), label]);
}

export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [at, value] of values.entries()) bytes.writeUInt16BE(value, at * 2);
  return bytes;
}

export interface Reply {
  id: number;
  response: boolean;
  opcode: number;
  truncated: boolean;
  recursionDesired: boolean;
  recursionAvailable: boolean;
  /** With the bits of EDNS. */
  rcode: number;
  /** The question as on the wire; empty without one. */
  question: Buffer;
  answers: { type: number; class: number; ttl: number; value: string }[];
  edns: { udpBytes: number; dnssec: boolean; extended: { code: number; text: string } | null } | null;
}

/** Reads an answer, and fails for one that is not well formed to the last byte. */
export function readReply(message: Buffer | null): Reply {
  assert.ok(message !== null, "there is no answer");
  const flags = message.readUInt16BE(2);
  const [questions, answers, authorities, additional] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at));
  assert.ok(questions !== undefined && questions <= 1 && authorities === 0);
  let at = 12;
  if (questions === 1) at = readName(message, 12).end + 4;
  const reply: Reply = {
    id: message.readUInt16BE(0),
    response: (flags & 0x8000) !== 0,
    opcode: (flags >>> 11) & 15,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    rcode: flags & 15,
    question: message.subarray(12, at),
    answers: [],
    edns: null,
  };
  for (let record = 0; record < (answers ?? 0) + (additional ?? 0); record++) at = readRecord(message, at, reply);
  assert.equal(at, message.length);
  return reply;
}

function readRecord(message: Buffer, start: number, reply: Reply): number {
  const { end } = readName(message, start);
  const [type, kind] = [message.readUInt16BE(end), message.readUInt16BE(end + 2)];
  const ttl = message.readUInt32BE(end + 4);
  const from = end + 10;
  const to = from + message.readUInt16BE(end + 8);
  assert.ok(to <= message.length);
  if (type !== TYPES.OPT) {
    // The owner is the question's name.
    assert.equal(readName(message, start).text.toLowerCase(), readName(message, 12).text.toLowerCase());
    reply.answers.push({ type, class: kind, ttl, value: readValue(message, type, from, to) });
    return to;
  }
  assert.equal(end, start + 1);
  reply.rcode |= (ttl >>> 24) << 4;
  reply.edns = { udpBytes: kind, dnssec: (ttl & 0x8000) !== 0, extended: null };
  for (let at = from; at < to;) {
    const length = message.readUInt16BE(at + 2);
    assert.equal(message.readUInt16BE(at), 15);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(message.subarray(at + 6, at + 4 + length));
    reply.edns.extended = { code: message.readUInt16BE(at + 4), text };
    at += 4 + length;
  }
  return to;
}

function readValue(message: Buffer, type: number, from: number, to: number): string {
  if (type === TYPES.A) return message.subarray(from, to).join(".");
  if (type === TYPES.PTR) return readName(message, from).text;
  return (message.toString("hex", from, to).match(/.{4}/g) ?? []).join(":");
}

function readName(message: Buffer, start: number): { text: string; end: number } {
  const labels: string[] = [];
  for (let at = start, end: number | undefined; ;) {
    const length = message.readUInt8(at);
    if (length === 0) return { text: labels.join("."), end: end ?? at + 1 };
    if (length >= 0xc0) {
      end ??= at + 2;
      const to = message.readUInt16BE(at) & 0x3fff;
      assert.ok(to < at);
      at = to;
    } else {
      labels.push(message.toString("latin1", at + 1, at + 1 + length));
      at += 1 + length;
    }
  }
}
