/** One response on its way in (secrets.ts says what is done with which part). The upstream is not trusted. */
import type { Transform } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";
import { isEnveloped, placeOfBody } from "./body-kind.ts";
import { type BodyWork, DecodedBody, PlainBody, UnreadableBody } from "./body-streams.ts";
import { codingsOf } from "./content-codings.ts";
import { EnvelopedWork } from "./enveloped-work.ts";
import { fieldValue, withoutFields } from "./field-lines.ts";
import { type Match, rewriteAll, Rewriter } from "./rewriter.ts";
import type { Finding, RequestOrigin, SecretBook } from "./secret-book.ts";
import type { IncomingSecrets } from "./secrets.ts";

const LENGTH_FIELD = new Set(["content-length"]);
/** Describe the body as the upstream coded it. A strong ETag stays: it is for the upstream to recognise. */
const CODED_FIELDS = new Set([
  "content-length",
  "content-encoding",
  "content-md5",
  "digest",
  "content-digest",
  "repr-digest",
]);
const NO_BODY_STATUSES = new Set([204, 304]);
const PARTIAL_CONTENT = 206;

export class IncomingResponse implements IncomingSecrets {
  readonly #book: SecretBook;
  readonly #origin: RequestOrigin;
  readonly #head: ResponseHead;
  readonly #body: () => Transform | null;

  constructor(book: SecretBook, request: RequestHead, head: ResponseHead) {
    this.#book = book;
    this.#origin = request;
    const hasBody =
      request.method !== "HEAD" &&
      head.status >= 200 &&
      !NO_BODY_STATUSES.has(head.status) &&
      fieldValue(head.fields, "content-length") !== "0";
    const { fields, body } = this.#planBody(head, hasBody);
    this.#head = { ...head, fields: this.trailers(fields) };
    this.#body = body;
  }

  get head(): ResponseHead {
    return this.#head;
  }

  body(): Transform | null {
    return this.#body();
  }

  trailers(fields: FieldLines): FieldLines {
    const search = this.#book.inResponses;
    if (!search.occursIn(Buffer.from(fields.flat().join("\n"), "latin1"))) return fields;
    return fields.map(([name, value]) => [this.#scrub(name), this.#scrub(value)] as const);
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

  #planBody(head: ResponseHead, hasBody: boolean): { fields: FieldLines; body: () => Transform | null } {
    const { fields } = head;
    if (!this.#book.hasValues) return { fields, body: () => null };
    const codings = codingsOf(fields);
    // A HEAD or a 304 tells what a GET would: that it is not coded, and then how long it is nobody knows.
    if (!hasBody) {
      const coded = codings !== "unknown" && codings.length > 0;
      return { fields: coded ? withoutFields(fields, CODED_FIELDS) : fields, body: () => null };
    }
    const plainFields = withoutFields(fields, LENGTH_FIELD);
    if (codings === "unknown") {
      return {
        fields: plainFields,
        body: () => new UnreadableBody("the response is in a content coding that cannot be searched for secrets"),
      };
    }
    if (codings.length > 0 && head.status === PARTIAL_CONTENT) {
      return {
        fields: plainFields,
        body: () => new UnreadableBody("a part of a coded response cannot be searched for secrets"),
      };
    }
    // Where another length would break the body, its length stays.
    const sealed = placeOfBody(fields) === "sealed";
    const work = (): BodyWork => {
      const rewriter = new Rewriter(() => this.#book.inResponses, this.#decide(sealed));
      return isEnveloped(fields) ? new EnvelopedWork(rewriter, true) : rewriter;
    };
    if (codings.length === 0) return { fields: sealed ? fields : plainFields, body: () => new PlainBody(work()) };
    return { fields: withoutFields(fields, CODED_FIELDS), body: () => new DecodedBody(codings, work()) };
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
