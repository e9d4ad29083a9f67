/**
 * Secrets as the egress path sees them: placeholders that become values in requests to their own hosts, and values that
 * become placeholders in what comes back. Values exist in the supervisor's memory only.
 *
 * A request belongs to a secret if its scheme, host and port are among the secret's hosts.
 *
 * Requests to an own host, where the placeholder becomes the value that is current at that moment, but in one part only,
 * the first of these that it can stand in: header fields; path, query and fields that hold a URL; body; trailers;
 * the first WebSocket message that has it. In the parts after that it stays, and goes out as the placeholder: an API
 * that knows by a header who asks would repeat from a body what it is told to, in forms that nobody can recognise.
 *
 *     header values       as it is; in base64 (Basic and others) the text is coded anew. Not in `Proxy-*`
 *     path, query, forms  percent-encoded, as each needs
 *     JSON, XML, HTML     escaped, by Content-Type
 *     other bodies        as it is: multipart, text, bytes. The same for WebSocket messages, except that one that begins
 *                         with `{` or `[` is JSON
 *     gzip deflate br zstd   the body is decoded and goes out without its coding
 *     gRPC, protobuf, CBOR…  stays: lengths are written in them; so it does in codings that cannot be read
 *     method, header names   stays
 *
 * A placeholder that is percent-encoded, JSON- or HTML-escaped, wholly or in part, is one where its place decodes that;
 * otherwise, in hexadecimal, with other capitals or escaped twice it stays, which is safe: it is worth nothing.
 *
 * Requests to any other host are searched for placeholders in all of these forms, hexadecimal and other capitals, in
 * everything above and in trailers. Any request is searched for values that do not belong to its host, which the guest
 * cannot have by right; a value that was replaced belongs to none. With `pass` placeholders are not looked at and values
 * only reported. A coded body is passed on as it was, after what it says; one in a coding that cannot be read is searched
 * as it is.
 *
 * Responses from every host: values, the former ones too, become placeholders in headers, trailers, WebSocket messages
 * and bodies, in the forms above, nested ones included. Bodies are decoded, and what cannot be is not passed on; requests
 * ask for codings that can, and to a secret's host for no part of a body, which could begin within a value. In formats
 * that have lengths in them the placeholder is cut or filled to the value's length. A HEAD or a 304 of a coded response
 * loses its length and coding, as the GET does.
 *
 * Limits. What reaches an own host is that host's: whoever can make it process a body, a URL or a message with the
 * placeholder in it without giving the placeholder as a credential too (another account, a session, an API that takes its
 * key there) can have the value stored or repeated. A value of 4 to 7 bytes is not looked for in base64 and hexadecimal,
 * nor in requests, and any text that happens to be the same is replaced; a shorter one is refused. Nothing is found in
 * what an upstream made of a value otherwise: another encoding or character set, a part of it, pieces with other text
 * between them, a file format with its own compression, an encryption. Former values are remembered up to 32 a secret.
 * What may be the beginning of a match waits for the next chunk or the end. In gRPC up to three bytes of it do not wait
 * for the next message: those of a value that a false framing cuts there would get in.
 */
import type { Transform } from "node:stream";
import type { ConnectionTarget, SecretHost } from "../../policy/spec.ts";
import type { FieldLines, RequestHead, ResponseHead } from "../http-heads.ts";

export interface SecretGrant {
  name: string;
  /** Stands in the guest's environment. */
  placeholder: string;
  hosts: readonly SecretHost[];
}

/** What happens to a request that carries a placeholder to a host that it does not belong to. */
export type LeakAction = "block" | "report" | "pass";

export interface Leak {
  /** Name of the secret. */
  secret: string;
  /** Where it was found, such as `header x-key`, `query`, `path`, `body`. */
  where: string;
  /**
   * `placeholder`, one of a sandbox that this one is a copy of, or a value of this sandbox that the guest should never
   * have had.
   */
  what: "placeholder" | "former placeholder" | "value";
}

/** One request on its way out. */
export interface OutgoingSecrets {
  /** With the values put in, where they belong. Lengths of the body may change: see {@link body}. */
  readonly head: RequestHead;
  /** Leaks in the head, and (filled while it streams) in the body. */
  readonly leaks: readonly Leak[];
  /** Whether the request must not leave. */
  readonly blocked: boolean;
  /** Names of the secrets that were put in so far. */
  readonly used: readonly string[];
  /**
   * A stream through which the body goes, or `null` where it can stay as it is. It fails with {@link LeakError} for a
   * body that must not leave; what came out of it before that contains nothing of the leak. Where the body's length may
   * change, `content-length` has been taken out of the head; what is only searched keeps it.
   */
  body(): Transform | null;
  /**
   * The `content-length` that was taken out of the head, `null` where it was not or there was none. What comes out of
   * {@link body} may be longer (a value for a placeholder, a coding undone). Servers that take no body without a length
   * want a small one gathered first.
   */
  readonly removedLength: number | null;
  /** Trailer fields, written as header fields are. @throws LeakError */
  trailers(fields: FieldLines): FieldLines;
  /** One WebSocket message of the guest. @throws LeakError */
  message(data: Buffer): Buffer;
}

/** Work on a body that needs no stream of its own. */
export interface BodyFilter {
  push(chunk: Buffer): readonly Buffer[];
  /** What waited for more. */
  end(): readonly Buffer[];
}

/** The response to one request on its way in. */
export interface IncomingSecrets {
  /** Values are placeholders again. Where `body` is not `null`, `content-length` and a decoded coding are taken out. */
  readonly head: ResponseHead;
  /** A stream for the body, which also decodes content codings, or `null`. Fails closed on a coding it cannot read. */
  body(): Transform | null;
  /** What {@link body} does, in less time: `null` where a coding has to be undone, or where nothing is to be done. */
  bodyFilter(): BodyFilter | null;
  trailers(fields: FieldLines): FieldLines;
  /** One WebSocket message of the upstream. */
  message(data: Buffer): Buffer;
}

export class LeakError extends Error {
  readonly leak: Leak;
  constructor(leak: Leak) {
    super(`${leak.what} of ${leak.secret} in ${leak.where}`);
    this.name = "LeakError";
    this.leak = leak;
  }
}

export interface Secrets {
  readonly grants: readonly SecretGrant[];
  /** Whether every request of such a connection has to be read, so that a tunnel is not enough. */
  concerns(target: ConnectionTarget): boolean;
  /** Gives a value; an earlier one is forbidden from then on, in both directions. @throws SbxError for an unknown name */
  setValue(name: string, value: string): void;
  openRequest(head: RequestHead): OutgoingSecrets;
  /** @param request as it came from the guest */
  openResponse(request: RequestHead, head: ResponseHead): IncomingSecrets;
  /** Any text for a person or a log: with every value (in all forms that are known) replaced by its placeholder. */
  scrubText(text: string): string;
}
