/** One request of the guest on its way out (secrets.ts says what is done with which part). The request is hostile. */
import type { Transform } from "node:stream";
import type { FieldLines, RequestHead } from "../http-heads.ts";
import { isEnveloped, placeOfBody, placeOfMessage } from "./body-kind.ts";
import { type BodyWork, DecodedBody, PlainBody, VettedBody } from "./body-streams.ts";
import { codingsOf, readableCodings } from "./content-codings.ts";
import { EnvelopedWork } from "./enveloped-work.ts";
import { fieldValue, replaceField, withoutFields } from "./field-lines.ts";
import { LeakLog, type LeakRules } from "./leak-log.ts";
import { type Match, rewriteAll, Rewriter } from "./rewriter.ts";
import type { Finding, SecretBook } from "./secret-book.ts";
import type { Leak, OutgoingSecrets } from "./secrets.ts";
import { type Place, writeValue } from "./value-writing.ts";

/** Fields that hold a URL. */
const URL_FIELDS = new Set(["referer", "destination", "content-location", "location"]);
/** Describe the body as the guest coded it. */
const CODED_FIELDS = new Set([
  "content-length",
  "content-encoding",
  "content-md5",
  "digest",
  "content-digest",
  "repr-digest",
]);
const LENGTH_FIELD = new Set(["content-length"]);
/** A part of a response could begin or end within a value. */
const RANGE_FIELDS = new Set(["range", "if-range"]);

export class OutgoingRequest implements OutgoingSecrets {
  readonly #book: SecretBook;
  readonly #origin: RequestHead;
  readonly #log: LeakLog;
  readonly #used = new Set<string>();
  readonly #body: () => Transform | null;
  readonly #head: RequestHead;
  #blocked = false;

  constructor(book: SecretBook, head: RequestHead, rules: LeakRules) {
    this.#book = book;
    this.#origin = head;
    this.#log = new LeakLog(head, rules);
    const written = this.#writeHead(head);
    const { fields, body } = this.#planBody(head, this.#restrict(written.fields));
    this.#head = { ...written, fields };
    this.#body = body;
  }

  get head(): RequestHead {
    return this.#head;
  }

  get leaks(): readonly Leak[] {
    return this.#log.leaks;
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  get used(): readonly string[] {
    return [...this.#used];
  }

  body(): Transform | null {
    return this.#body();
  }

  trailers(fields: FieldLines): FieldLines {
    return this.#mayHold(fields.flat()) ? this.#writeFields(fields, (leak) => this.#log.addOrThrow(leak)) : fields;
  }

  message(data: Buffer): Buffer {
    const search = this.#book.inRequests;
    if (!search.occursIn(data)) return data;
    return rewriteAll(
      data,
      search,
      this.#decide("message", placeOfMessage(data), (leak) => this.#log.addOrThrow(leak)),
    );
  }

  /** Whether any part of a head has anything in it. No needle spans a line break. */
  #mayHold(parts: readonly string[]): boolean {
    return this.#book.inRequests.occursIn(Buffer.from(parts.join("\n"), "latin1"));
  }

  #writeHead(head: RequestHead): RequestHead {
    const { method, target, fields } = head;
    if (!this.#mayHold([method, target, ...fields.flat()])) return head;
    const onLeak = (leak: Leak): void => {
      this.#blocked = this.#log.add(leak) || this.#blocked;
    };
    // Only to be found: a method is a word that the upstream must know.
    this.#writeText(method, "method", "sealed", onLeak);
    const queryAt = target.indexOf("?");
    const path = queryAt < 0 ? target : target.slice(0, queryAt);
    const query = queryAt < 0 ? "" : target.slice(queryAt);
    return {
      ...head,
      target: this.#writeText(path, "path", "path", onLeak) + this.#writeText(query, "query", "query", onLeak),
      fields: this.#writeFields(fields, onLeak),
    };
  }

  #writeFields(fields: FieldLines, onLeak: (leak: Leak) => void): FieldLines {
    return fields.map(([name, value]) => {
      const key = name.toLowerCase();
      const place: Place = key.startsWith("proxy-") ? "sealed" : URL_FIELDS.has(key) ? "query" : "field";
      // A name with a secret in it is not repeated.
      const where = this.#mayHold([name]) ? "header" : `header ${key}`;
      this.#writeText(name, "header name", "sealed", onLeak);
      return [name, this.#writeText(value, where, place, onLeak)] as const;
    });
  }

  #writeText(text: string, where: string, place: Place, onLeak: (leak: Leak) => void): string {
    const data = Buffer.from(text, "latin1");
    const search = this.#book.inRequests;
    if (!search.occursIn(data)) return text;
    return rewriteAll(data, search, this.#decide(where, place, onLeak)).toString("latin1");
  }

  #decide(where: string, place: Place, onLeak: (leak: Leak) => void): (match: Match<Finding>) => Buffer | null {
    return (match) => {
      const leak = this.#log.findLeak(match.tag, this.#origin, where);
      if (leak !== null) {
        onLeak(leak);
        return null;
      }
      if (match.tag.kind !== "placeholder") return null;
      const { secret } = match.tag;
      if (secret.value === null || !secret.belongsTo(this.#origin)) return null;
      const bytes = writeValue(secret.value, place, match);
      if (bytes !== null) this.#used.add(secret.name);
      return bytes;
    };
  }

  /** What the response may be is asked for such that it can be searched. */
  #restrict(fields: FieldLines): FieldLines {
    if (!this.#book.hasValues) return fields;
    const accepted = fieldValue(fields, "accept-encoding");
    let restricted =
      accepted === undefined ? fields : replaceField(fields, "accept-encoding", readableCodings(accepted));
    restricted = replaceField(restricted, "grpc-accept-encoding", "identity");
    return this.#ownsValue() ? withoutFields(restricted, RANGE_FIELDS) : restricted;
  }

  #ownsValue(): boolean {
    return this.#book.secrets.some((secret) => secret.value !== null && secret.belongsTo(this.#origin));
  }

  #planBody(head: RequestHead, fields: FieldLines): { fields: FieldLines; body: () => Transform | null } {
    if (this.#book.secrets.length === 0 || fieldValue(head.fields, "content-length") === "0") {
      return { fields, body: () => null };
    }
    const codings = codingsOf(head.fields);
    const place = placeOfBody(head.fields);
    const writes = place !== "sealed" && this.#ownsValue() && codings !== "unknown";
    const work = (): BodyWork => this.#bodyWork(place);
    if (codings === "unknown" || codings.length === 0) {
      const plain = codings === "unknown" ? (): BodyWork => this.#bodyWork("sealed") : work;
      return { fields: writes ? withoutFields(fields, LENGTH_FIELD) : fields, body: () => new PlainBody(plain()) };
    }
    if (writes) {
      return { fields: withoutFields(fields, CODED_FIELDS), body: () => new DecodedBody(codings, work()) };
    }
    const [coding, ...more] = codings;
    if (coding === undefined || more.length > 0) return { fields, body: () => new PlainBody(this.#bodyWork("sealed")) };
    return { fields, body: () => new VettedBody(coding, this.#bodyWork("sealed"), this.#bodyWork("sealed")) };
  }

  #bodyWork(place: Place): BodyWork {
    const decide = this.#decide("body", place, (leak) => this.#log.addOrThrow(leak));
    const work = new Rewriter(() => this.#book.inRequests, decide);
    return isEnveloped(this.#origin.fields) ? new EnvelopedWork(work, false) : work;
  }
}
