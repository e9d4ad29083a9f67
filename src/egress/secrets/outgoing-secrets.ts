/** One request of the guest on its way out (secrets.ts says what is done with which part). The request is hostile. */
import type { Transform } from "node:stream";
import type { FieldLines, RequestHead } from "../http-heads.ts";
import { type BodyKind, kindOfBody, placeOfMessage } from "./body-kind.ts";
import { type BodyWork, DecodedBody, PlainBody, UnreadableBody, VettedBody } from "./body-streams.ts";
import { codingsOf, readableCodings } from "./content-codings.ts";
import { EnvelopedWork } from "./enveloped-work.ts";
import { changeFields, type FieldChanges, type KeyFields, readKeyFields } from "./field-lines.ts";
import { fieldParts, findParts } from "./head-search.ts";
import { LeakLog, type LeakRules } from "./leak-log.ts";
import { type Match, rewriteAll, Rewriter } from "./rewriter.ts";
import type { Finding, SecretBook } from "./secret-book.ts";
import type { Leak, OutgoingSecrets } from "./secrets.ts";
import { type Place, writeValue } from "./value-writing.ts";

/** Fields that hold a URL. */
const URL_FIELDS = new Set(["referer", "destination", "content-location", "location"]);
const SEVERAL_CODINGS = "a body in several content codings cannot be searched for secrets";
const NO_CHANGES: FieldChanges = new Map();
/** Of bytes that are only searched. */
const AS_SENT: BodyKind = { place: "sealed", enveloped: false };
/** Where the length of the body may change. */
const REFRAMED: FieldChanges = new Map([["content-length", null]]);
/** Where the body goes out without its coding: what describes it as the guest coded it. */
const UNCODED: FieldChanges = new Map(
  ["content-length", "content-encoding", "content-md5", "digest", "content-digest", "repr-digest"].map((name) => [
    name,
    null,
  ]),
);
/** Parts of a request that come before its fields. */
const METHOD = 0;
const TARGET = 1;
const FIRST_FIELD = 2;

type OnLeak = (leak: Leak) => void;

interface BodyPlan {
  changes: FieldChanges;
  body: () => Transform | null;
}

export class OutgoingRequest implements OutgoingSecrets {
  readonly #book: SecretBook;
  /** As it came from the guest. */
  readonly #request: RequestHead;
  readonly #log: LeakLog;
  readonly #used = new Set<string>();
  readonly #body: () => Transform | null;
  readonly #head: RequestHead;
  readonly #ownsValue: boolean;
  #blocked = false;

  constructor(book: SecretBook, head: RequestHead, rules: LeakRules) {
    this.#book = book;
    this.#request = head;
    this.#log = new LeakLog(head, rules);
    this.#ownsValue = book.secrets.some((secret) => secret.value !== null && secret.belongsTo(head));
    const keys = readKeyFields(head.fields);
    const { changes, body } = this.#planBody(keys);
    const written = this.#writeHead(head);
    const fields = changeFields(written.fields, new Map([...changes, ...this.#planResponse(keys)]));
    this.#head = fields === head.fields ? written : { ...written, fields };
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
    const found = findParts(this.#book.inRequests, fieldParts(fields));
    return found.size === 0 ? fields : this.#writeFields(fields, found, 0, this.#throwLeak);
  }

  message(data: Buffer): Buffer {
    const search = this.#book.inRequests;
    if (!search.occursIn(data)) return data;
    return rewriteAll(data, search, this.#decide("message", placeOfMessage(data), this.#throwLeak));
  }

  #writeHead(head: RequestHead): RequestHead {
    const { method, target, fields } = head;
    const found = findParts(this.#book.inRequests, [method, target, ...fieldParts(fields)]);
    if (found.size === 0) return head;
    const onLeak: OnLeak = (leak) => {
      this.#blocked = this.#log.add(leak) || this.#blocked;
    };
    // Only to be found: a method is a word that the upstream must know.
    if (found.has(METHOD)) this.#writeText(method, "method", "sealed", onLeak);
    return {
      ...head,
      target: found.has(TARGET) ? this.#writeTarget(target, onLeak) : target,
      fields: this.#writeFields(fields, found, FIRST_FIELD, onLeak),
    };
  }

  #writeTarget(target: string, onLeak: OnLeak): string {
    const queryAt = target.indexOf("?");
    const path = queryAt < 0 ? target : target.slice(0, queryAt);
    const query = queryAt < 0 ? "" : target.slice(queryAt);
    return this.#writeText(path, "path", "path", onLeak) + this.#writeText(query, "query", "query", onLeak);
  }

  #writeFields(fields: FieldLines, found: ReadonlySet<number>, firstPart: number, onLeak: OnLeak): FieldLines {
    return fields.map((line, index) => {
      const inName = found.has(firstPart + 2 * index);
      if (!inName && !found.has(firstPart + 2 * index + 1)) return line;
      const [name, value] = line;
      const key = name.toLowerCase();
      const place: Place = key.startsWith("proxy-") ? "sealed" : URL_FIELDS.has(key) ? "query" : "field";
      if (inName) this.#writeText(name, "header name", "sealed", onLeak);
      // A name with a secret in it is not repeated.
      return [name, this.#writeText(value, inName ? "header" : `header ${key}`, place, onLeak)] as const;
    });
  }

  #writeText(text: string, where: string, place: Place, onLeak: OnLeak): string {
    const data = Buffer.from(text, "latin1");
    return rewriteAll(data, this.#book.inRequests, this.#decide(where, place, onLeak)).toString("latin1");
  }

  #decide(where: string, place: Place, onLeak: OnLeak): (match: Match<Finding>) => Buffer | null {
    return (match) => {
      const leak = this.#log.findLeak(match.tag, this.#request, where);
      if (leak !== null) {
        onLeak(leak);
        return null;
      }
      if (match.tag.kind !== "placeholder") return null;
      const { secret } = match.tag;
      if (secret.value === null || !secret.belongsTo(this.#request)) return null;
      const bytes = writeValue(secret.value, place, match);
      if (bytes !== null) this.#used.add(secret.name);
      return bytes;
    };
  }

  readonly #throwLeak: OnLeak = (leak) => {
    this.#log.addOrThrow(leak);
  };

  /** What the response may be is asked for such that it can be searched. */
  #planResponse({ acceptEncoding }: KeyFields): FieldChanges {
    if (!this.#book.hasValues) return NO_CHANGES;
    const changes = new Map<string, string | null>([["grpc-accept-encoding", "identity"]]);
    if (acceptEncoding !== undefined) changes.set("accept-encoding", readableCodings(acceptEncoding));
    // A part of a response could begin or end within a value.
    if (this.#ownsValue) changes.set("range", null).set("if-range", null);
    return changes;
  }

  #planBody({ contentType, contentLength, contentEncoding }: KeyFields): BodyPlan {
    if (this.#book.secrets.length === 0 || contentLength === "0") return { changes: NO_CHANGES, body: () => null };
    const kind = kindOfBody(contentType);
    const codings = codingsOf(contentEncoding);
    if (codings === "unknown") return { changes: NO_CHANGES, body: () => new PlainBody(this.#workOn(AS_SENT)) };
    const [coding, ...more] = codings;
    if (kind.place === "sealed" || !this.#ownsValue) {
      const searched = (): BodyWork => this.#workOn({ ...kind, place: "sealed" });
      if (coding === undefined) return { changes: NO_CHANGES, body: () => new PlainBody(searched()) };
      if (more.length > 0) return { changes: NO_CHANGES, body: () => new UnreadableBody(SEVERAL_CODINGS) };
      return { changes: NO_CHANGES, body: () => new VettedBody(coding, searched(), this.#workOn(AS_SENT)) };
    }
    const work = (): BodyWork => this.#workOn(kind);
    if (coding === undefined) return { changes: REFRAMED, body: () => new PlainBody(work()) };
    return { changes: UNCODED, body: () => new DecodedBody(codings, work()) };
  }

  #workOn({ place, enveloped }: BodyKind): BodyWork {
    const rewriter = new Rewriter(() => this.#book.inRequests, this.#decide("body", place, this.#throwLeak));
    return enveloped ? new EnvelopedWork(rewriter, false) : rewriter;
  }
}
