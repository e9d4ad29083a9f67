/** One response on its way in (secrets.ts says what is done with which part). The upstream is not trusted. */
import type { Transform } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import { type BodyKind, kindOfBody } from "./body-kind.ts";
import { type BodyWork, DecodedBody, PlainBody, UnreadableBody } from "./body-streams.ts";
import { codingsOf } from "./content-codings.ts";
import { EnvelopedWork } from "./enveloped-work.ts";
import { changeFields, type FieldChanges, type KeyFields, readKeyFields } from "./field-lines.ts";
import { fieldParts, findParts } from "./head-search.ts";
import { type Match, rewriteAll, Rewriter } from "./rewriter.ts";
import type { Finding, RequestOrigin, SecretBook } from "./secret-book.ts";
import type { BodyFilter, IncomingSecrets } from "./secrets.ts";

const NO_CHANGES: FieldChanges = new Map();
/** Where the length of the body may change. */
const REFRAMED: FieldChanges = new Map([["content-length", null]]);
/** Describe the body as the upstream coded it. A strong ETag stays: it is for the upstream to recognise. */
const UNCODED: FieldChanges = new Map(
  ["content-length", "content-encoding", "content-md5", "digest", "content-digest", "repr-digest"].map((name) => [
    name,
    null,
  ]),
);
const UNKNOWN_CODING = "the response is in a content coding that cannot be searched for secrets";
const CODED_PART = "a part of a coded response cannot be searched for secrets";
const NO_BODY_STATUSES = new Set([204, 304]);
const PARTIAL_CONTENT = 206;

interface BodyPlan {
  changes: FieldChanges;
  body: () => Transform | null;
  filter?: () => BodyWork;
}

export class IncomingResponse implements IncomingSecrets {
  readonly #book: SecretBook;
  readonly #origin: RequestOrigin;
  readonly #head: ResponseHead;
  readonly #plan: BodyPlan;

  constructor(book: SecretBook, request: RequestHead, head: ResponseHead) {
    this.#book = book;
    this.#origin = request;
    const keys = readKeyFields(head.fields);
    const hasBody =
      request.method !== "HEAD" &&
      head.status >= 200 &&
      !NO_BODY_STATUSES.has(head.status) &&
      keys.contentLength !== "0";
    this.#plan = this.#planBody(head.status, keys, hasBody);
    const fields = this.trailers(changeFields(head.fields, this.#plan.changes));
    this.#head = fields === head.fields ? head : { ...head, fields };
  }

  get head(): ResponseHead {
    return this.#head;
  }

  body(): Transform | null {
    return this.#plan.body();
  }

  bodyFilter(): BodyFilter | null {
    return this.#plan.filter?.() ?? null;
  }

  trailers(fields: FieldLines): FieldLines {
    const found = findParts(this.#book.inResponses, fieldParts(fields));
    if (found.size === 0) return fields;
    return fields.map((line, index) => {
      const [name, value] = line;
      const inName = found.has(2 * index);
      const inValue = found.has(2 * index + 1);
      if (!inName && !inValue) return line;
      return [inName ? this.#scrub(name) : name, inValue ? this.#scrub(value) : value] as const;
    });
  }

  message(data: Buffer): Buffer {
    const search = this.#book.inResponses;
    return search.occursIn(data) ? rewriteAll(data, search, this.#decide(false)) : data;
  }

  #scrub(text: string): string {
    const data = Buffer.from(text, "latin1");
    return rewriteAll(data, this.#book.inResponses, this.#decide(false)).toString("latin1");
  }

  #decide(sameLength: boolean): (match: Match<Finding>) => Buffer | null {
    return (match) => replacement(match, this.#origin, sameLength);
  }

  #planBody(status: number, keys: KeyFields, hasBody: boolean): BodyPlan {
    if (!this.#book.hasValues) return { changes: NO_CHANGES, body: () => null };
    const codings = codingsOf(keys.contentEncoding);
    const coded = codings === "unknown" || codings.length > 0;
    // A HEAD or a 304 tells what a GET would: that it is not coded, and then how long it is nobody knows.
    if (!hasBody) return { changes: coded && codings !== "unknown" ? UNCODED : NO_CHANGES, body: () => null };
    if (codings === "unknown") return { changes: REFRAMED, body: () => new UnreadableBody(UNKNOWN_CODING) };
    if (coded && status === PARTIAL_CONTENT) {
      return { changes: REFRAMED, body: () => new UnreadableBody(CODED_PART) };
    }
    const kind = kindOfBody(keys.contentType);
    if (coded) return { changes: UNCODED, body: () => new DecodedBody(codings, this.#workOn(kind)) };
    // Where another length would break the body, its length stays.
    const filter = (): BodyWork => this.#workOn(kind);
    return {
      changes: kind.place === "sealed" ? NO_CHANGES : REFRAMED,
      body: () => new PlainBody(filter()),
      filter,
    };
  }

  #workOn({ place, enveloped }: BodyKind): BodyWork {
    const rewriter = new Rewriter(() => this.#book.inResponses, this.#decide(place === "sealed"));
    return enveloped ? new EnvelopedWork(rewriter, true) : rewriter;
  }
}

/** The placeholder of the secret that a value is, of several the one that belongs to the host that sent it. */
export function replacement(match: Match<Finding>, origin: RequestOrigin | null, sameLength: boolean): Buffer | null {
  if (match.tag.kind !== "value") return null;
  const { all } = match.tag;
  const secret = all.find((held) => origin !== null && held.belongsTo(origin)) ?? all[0];
  if (secret === undefined) return null;
  let bytes = secret.placeholderBytes;
  if (sameLength) {
    const length = match.form === "text" ? match.end - match.start : Buffer.byteLength(match.tag.text);
    bytes = Buffer.from(secret.grant.placeholder.slice(0, length).padEnd(length, "*"));
  }
  return match.form === "hex" ? Buffer.from(bytes.toString("hex")) : bytes;
}
