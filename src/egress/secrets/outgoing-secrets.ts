/** One request of the guest on its way out (secrets.ts says what is done with which part). The request is hostile. */
import type { Transform } from "node:stream";
import type { FieldLines, RequestHead } from "../http-heads.ts";
import { type BodyKind, kindOfBody, placeOfMessage } from "./body-kind.ts";
import { type BodyWork, DecodedBody, PlainBody, UnreadableBody, VettedBody } from "./body-streams.ts";
import { type Coding, codingsOf, readableCodings } from "./content-codings.ts";
import { EnvelopedWork } from "./enveloped-work.ts";
import { changeFields, type FieldChanges, type KeyFields, readKeyFields } from "./field-lines.ts";
import { fieldParts, findParts } from "./head-search.ts";
import { LeakLog, type LeakRules } from "./leak-log.ts";
import { type Match, rewriteAll, Rewriter } from "./rewriter.ts";
import type { Finding, HeldSecret, SecretBook } from "./secret-book.ts";
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
/**
 * Parts of a request, the most header-like first: a secret is put into the first of them only that it stands in. What an
 * upstream does with a body may bring back the value in a form that nobody knows, and an upstream that knows who asks by a
 * header needs it nowhere else. Of messages, each is a part.
 */
const RANK = { fields: 0, url: 1, body: 2, trailers: 3, messages: 4 } as const;
/** Parts of a request that come before its fields. */
const METHOD = 0;
const TARGET = 1;
const FIRST_FIELD = 2;

type FieldLine = FieldLines[number];
type OnLeak = (leak: Leak) => void;

/** What of a request is looked at. */
interface Part {
  /** For {@link Leak}. */
  where: string;
  place: Place;
  rank: number;
}

/** Whether there is something in the name and in the value of a field. */
interface InLine {
  inName: boolean;
  inValue: boolean;
}

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
  /** Where each secret stands. */
  readonly #ranks = new Map<HeldSecret, number>();
  readonly #body: () => Transform | null;
  readonly #head: RequestHead;
  readonly #removedLength: number | null;
  readonly #ownsValue: boolean;
  #messages = 0;
  #blocked = false;

  constructor(book: SecretBook, head: RequestHead, rules: LeakRules) {
    this.#book = book;
    this.#request = head;
    this.#log = new LeakLog(head, rules);
    const own = book.secrets.filter((secret) => secret.value !== null && secret.belongsTo(head));
    this.#ownsValue = own.length > 0;
    const keys = readKeyFields(head.fields);
    const written = this.#writeHead(head);
    const { changes, body } = this.#planBody(
      keys,
      own.some((secret) => !this.#ranks.has(secret)),
    );
    this.#removedLength = changes.has("content-length") ? readLength(keys.contentLength) : null;
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

  get removedLength(): number | null {
    return this.#removedLength;
  }

  body(): Transform | null {
    return this.#body();
  }

  trailers(fields: FieldLines): FieldLines {
    const found = findParts(this.#book.inRequests, fieldParts(fields));
    if (found.size === 0) return fields;
    return fields.map((line, index) => {
      const part = partOfField(line[0]);
      return this.#writeField(line, { ...part, rank: RANK.trailers }, inLine(found, 2 * index), this.#throwLeak);
    });
  }

  message(data: Buffer): Buffer {
    const search = this.#book.inRequests;
    if (!search.occursIn(data)) return data;
    const part: Part = { where: "message", place: placeOfMessage(data), rank: RANK.messages + this.#messages };
    this.#messages += 1;
    return rewriteAll(data, search, this.#decide(part, this.#throwLeak));
  }

  #writeHead(head: RequestHead): RequestHead {
    const { method, target, fields } = head;
    const found = findParts(this.#book.inRequests, [method, target, ...fieldParts(fields)]);
    if (found.size === 0) return head;
    const onLeak: OnLeak = (leak) => {
      this.#blocked = this.#log.add(leak) || this.#blocked;
    };
    // Only to be found: a method is a word that the upstream must know.
    if (found.has(METHOD)) this.#writeText(method, { where: "method", place: "sealed", rank: RANK.fields }, onLeak);
    const parts = fields.map(([name]) => partOfField(name));
    const write = (lines: FieldLines, rank: number): FieldLines =>
      lines.map((line, index) => {
        const part = parts[index];
        if (part?.rank !== rank) return line;
        return this.#writeField(line, part, inLine(found, FIRST_FIELD + 2 * index), onLeak);
      });
    const withFields = write(fields, RANK.fields);
    return {
      ...head,
      target: found.has(TARGET) ? this.#writeTarget(target, onLeak) : target,
      fields: write(withFields, RANK.url),
    };
  }

  #writeTarget(target: string, onLeak: OnLeak): string {
    const queryAt = target.indexOf("?");
    const path = queryAt < 0 ? target : target.slice(0, queryAt);
    const query = queryAt < 0 ? "" : target.slice(queryAt);
    return (
      this.#writeText(path, { where: "path", place: "path", rank: RANK.url }, onLeak) +
      this.#writeText(query, { where: "query", place: "query", rank: RANK.url }, onLeak)
    );
  }

  #writeField(line: FieldLine, part: Part, { inName, inValue }: InLine, onLeak: OnLeak): FieldLine {
    if (!inName && !inValue) return line;
    const [name, value] = line;
    if (inName) this.#writeText(name, { ...part, where: "header name", place: "sealed" }, onLeak);
    // A name with a secret in it is not repeated.
    return [name, this.#writeText(value, inName ? { ...part, where: "header" } : part, onLeak)];
  }

  #writeText(text: string, part: Part, onLeak: OnLeak): string {
    const data = Buffer.from(text, "latin1");
    return rewriteAll(data, this.#book.inRequests, this.#decide(part, onLeak)).toString("latin1");
  }

  #decide({ where, place, rank }: Part, onLeak: OnLeak): (match: Match<Finding>) => Buffer | null {
    return (match) => {
      const leak = this.#log.findLeak(match.tag, this.#request, where);
      if (leak !== null) {
        onLeak(leak);
        return null;
      }
      if (match.tag.kind !== "placeholder") return null;
      const { secret } = match.tag;
      if (!secret.belongsTo(this.#request)) return null;
      // A secret has its place before it has a value, which may come while the body is on its way.
      const bytes = writeValue(secret.value ?? "", place, match);
      if (bytes === null || !this.#standsAt(secret, rank) || secret.value === null) return null;
      this.#used.add(secret.name);
      return bytes;
    };
  }

  /** Whether a secret is put in here. Parts come in the order of their ranks. */
  #standsAt(secret: HeldSecret, rank: number): boolean {
    const known = this.#ranks.get(secret);
    if (known === undefined) this.#ranks.set(secret, rank);
    return known === undefined || known === rank;
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

  /** @param getsValues whether there may be a placeholder in it that becomes a value */
  #planBody({ contentType, contentLength, contentEncoding }: KeyFields, getsValues: boolean): BodyPlan {
    if (this.#book.secrets.length === 0 || contentLength === "0") return { changes: NO_CHANGES, body: () => null };
    const kind = kindOfBody(contentType);
    const codings = codingsOf(contentEncoding);
    if (codings === "unknown") return { changes: NO_CHANGES, body: () => new PlainBody(this.#workOn(AS_SENT)) };
    const [coding, ...more] = codings;
    const changes = getsValues && kind.place !== "sealed";
    const work = (): BodyWork => this.#workOn(changes ? kind : { ...kind, place: "sealed" });
    if (coding === undefined) return { changes: changes ? REFRAMED : NO_CHANGES, body: () => new PlainBody(work()) };
    if (changes || (this.#ownsValue && more.length > 0)) {
      return { changes: UNCODED, body: () => new DecodedBody(codings, work()) };
    }
    if (more.length > 0) return { changes: NO_CHANGES, body: () => new UnreadableBody(SEVERAL_CODINGS) };
    return { changes: NO_CHANGES, body: () => this.#vet(coding, work()) };
  }

  #vet(coding: Coding, work: BodyWork): VettedBody {
    return new VettedBody(coding, work, this.#workOn(AS_SENT), this.#book.waiting);
  }

  #workOn({ place, enveloped }: BodyKind): BodyWork {
    const rewriter = new Rewriter(
      () => this.#book.inRequests,
      this.#decide({ where: "body", place, rank: RANK.body }, this.#throwLeak),
    );
    return enveloped ? new EnvelopedWork(rewriter, false) : rewriter;
  }
}

function partOfField(name: string): Part {
  const key = name.toLowerCase();
  const where = `header ${key}`;
  if (URL_FIELDS.has(key)) return { where, place: "query", rank: RANK.url };
  return { where, place: key.startsWith("proxy-") ? "sealed" : "field", rank: RANK.fields };
}

/** @param found numbers of parts that have something in them */
function inLine(found: ReadonlySet<number>, nameAt: number): InLine {
  return { inName: found.has(nameAt), inValue: found.has(nameAt + 1) };
}

function readLength(contentLength: string | undefined): number | null {
  if (contentLength === undefined || !/^\d+$/.test(contentLength)) return null;
  const length = Number(contentLength);
  return Number.isSafeInteger(length) ? length : null;
}
