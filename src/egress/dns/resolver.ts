/**
 * The guest's only resolver. It asks nobody: a name that the policy allows has synthetic addresses, any other is refused
 * with the reason, so that a lookup carries nothing out of the sandbox. Queries are hostile.
 */
import type { Duplex } from "node:stream";
import { findAddress } from "../../policy/ip-address.ts";
import { renderFix } from "../../policy/render.ts";
import type { Decision } from "../../policy/spec.ts";
import type { AuditSink } from "../audit-event.ts";
import type { GuestDatagram } from "../guest-flow.ts";
import {
  type DnsAnswer,
  type DnsQuery,
  type DnsRecord,
  encodeAnswer,
  encodeError,
  encodeName,
  parseQuery,
} from "./codec.ts";
import { DenialLog } from "./denial-log.ts";
import { DNS_CLASS, DNS_TYPE, EXTENDED_ERROR, RCODE } from "./numbers.ts";
import { findReverseAddress, isReverseName } from "./reverse-names.ts";
import { serveDnsStream } from "./stream-server.ts";
import { SYNTHETIC_TTL_SECONDS, type SyntheticAddresses, type SyntheticNames } from "./synthetic-names.ts";

export const DNS_PORT = 53;
/** Connections that are served at once. */
const MAX_STREAMS = 64;
/** Types from TKEY to MAILA ask for something else than records. */
const META_TYPES = { first: 249, last: 254 };
const LOCALHOST: SyntheticAddresses = { ipv4: "127.0.0.1", ipv6: "::1" };

export interface ResolverOptions {
  /** Decides with the policy of the moment. */
  decideName: (name: string) => Decision;
  names: SyntheticNames;
  audit: AuditSink;
  /** The guest's search list: what its resolver made of a name is said not to exist, so that it tries the name itself. */
  searchDomains?: readonly string[];
  /** Monotonic, `ms`. */
  now?: () => number;
}

const NO_RECORDS: DnsAnswer = { rcode: RCODE.ok, records: [] };
const NO_SUCH_NAME: DnsAnswer = { rcode: RCODE.noSuchName, records: [] };
const REFUSED: DnsAnswer = { rcode: RCODE.refused, records: [] };

export class Resolver implements Disposable {
  readonly #decideName: (name: string) => Decision;
  readonly #names: SyntheticNames;
  readonly #denials: DenialLog;
  readonly #searchDomains: readonly string[];
  readonly #streams = new Set<Duplex>();

  constructor({ decideName, names, audit, searchDomains = [], now }: ResolverOptions) {
    this.#decideName = decideName;
    this.#names = names;
    this.#denials = new DenialLog(audit, now);
    this.#searchDomains = searchDomains;
  }

  /** The answer to one message; `null` where there is none. Never throws. */
  answer(message: Buffer, transport: "udp" | "tcp"): Buffer | null {
    const parsed = parseQuery(message);
    switch (parsed.kind) {
      case "noise":
        return null;
      case "error":
        return encodeError(parsed);
      case "query":
        return encodeAnswer(parsed.query, this.#decide(parsed.query), transport);
    }
  }

  /** Answers a datagram to port 53. @returns whether it was a query */
  answerDatagram(datagram: GuestDatagram): boolean {
    if (datagram.target.port !== DNS_PORT) return false;
    const answer = this.answer(datagram.payload, "udp");
    if (answer === null) return false;
    datagram.reply(answer);
    return true;
  }

  /** Serves a connection to port 53 until either side is done with it, and destroys it. Never rejects. */
  async serve(stream: Duplex): Promise<void> {
    if (this.#streams.size >= MAX_STREAMS) {
      stream.on("error", () => undefined); // it is being given up
      stream.destroy();
      return;
    }
    this.#streams.add(stream);
    await serveDnsStream(stream, (message) => this.answer(message, "tcp"));
    this.#streams.delete(stream);
  }

  /** Ends all connections and reports what has not been reported. */
  [Symbol.dispose](): void {
    for (const stream of this.#streams) stream.destroy();
    this.#denials.flush();
  }

  #decide(query: DnsQuery): DnsAnswer {
    const { name, type, edns } = query;
    if (edns !== null && edns.version > 0) return { rcode: RCODE.badVersion, records: [] };
    const isMeta = type >= META_TYPES.first && type <= META_TYPES.last;
    if (type === 0 || type === DNS_TYPE.OPT || isMeta) return REFUSED;
    if (query.class !== DNS_CLASS.IN && query.class !== DNS_CLASS.ANY) return REFUSED;
    if (name === null) return this.#refuse(query, NOT_A_HOST);
    if (name === "localhost" || name.endsWith(".localhost")) return addressRecords(type, LOCALHOST);
    if (isReverseName(name)) return this.#answerReverse(name, type);
    if (findAddress(name) !== undefined) return this.#refuse(query, NOT_A_NAME);
    const decision = this.#decideName(name);
    if (decision.verdict === "allow") return this.#answerName(name, type);
    return this.#isSearched(name) ? NO_SUCH_NAME : this.#refuse(query, decision);
  }

  #answerName(name: string, type: number): DnsAnswer {
    // HTTPS and SVCB too: there is nothing to say that would make a client hide its server's name (ECH).
    if (type !== DNS_TYPE.A && type !== DNS_TYPE.AAAA && type !== DNS_TYPE.ANY) return NO_RECORDS;
    const addresses = this.#names.assign(name);
    if (addresses !== null) return addressRecords(type, addresses);
    const extended = { code: EXTENDED_ERROR.other, text: "sbx has no address left for another name" };
    return { rcode: RCODE.serverFailure, records: [], extended };
  }

  #answerReverse(name: string, type: number): DnsAnswer {
    const address = findReverseAddress(name);
    const found =
      address === LOCALHOST.ipv4 || address === LOCALHOST.ipv6 ? "localhost" : this.#names.findName(address ?? "");
    if (found === undefined) return NO_SUCH_NAME;
    if (type !== DNS_TYPE.PTR && type !== DNS_TYPE.ANY) return NO_RECORDS;
    return { rcode: RCODE.ok, records: [record(DNS_TYPE.PTR, encodeName(found))] };
  }

  #isSearched(name: string): boolean {
    return this.#searchDomains.some((domain) => name === domain || name.endsWith(`.${domain}`));
  }

  #refuse(query: DnsQuery, decision: Pick<Decision, "rule" | "reason" | "fix">): DnsAnswer {
    this.#denials.report(query.shownName, decision);
    const wayOut = decision.fix === null ? "" : `; to allow it: ${renderFix(decision.fix)}`;
    const text = `blocked by sbx: ${decision.reason}${wayOut}`;
    return { ...REFUSED, extended: { code: EXTENDED_ERROR.blocked, text } };
  }
}

const NOT_A_NAME = { rule: null, reason: "an address has no address", fix: null };
const NOT_A_HOST = { rule: null, reason: "the name has bytes that no host name has", fix: null };

function addressRecords(type: number, { ipv4, ipv6 }: SyntheticAddresses): DnsAnswer {
  const records: DnsRecord[] = [];
  if (type === DNS_TYPE.A || type === DNS_TYPE.ANY) records.push(record(DNS_TYPE.A, addressBytes(ipv4)));
  if (type === DNS_TYPE.AAAA || type === DNS_TYPE.ANY) records.push(record(DNS_TYPE.AAAA, addressBytes(ipv6)));
  return records.length === 0 ? NO_RECORDS : { rcode: RCODE.ok, records };
}

function record(type: number, data: Buffer): DnsRecord {
  return { type, ttl: SYNTHETIC_TTL_SECONDS, data };
}

function addressBytes(text: string): Buffer {
  const address = findAddress(text);
  if (address === undefined) throw new TypeError(`${text} is not an address`);
  const hex = address.value.toString(16);
  return Buffer.from(hex.padStart(address.family === 4 ? 8 : 32, "0"), "hex");
}
