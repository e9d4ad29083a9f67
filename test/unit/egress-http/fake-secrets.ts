/** Secrets for tests of the interceptor: one placeholder, one value, one host, and no cleverness. */
import { Transform, type TransformCallback } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../../../src/egress/http-heads.ts";
import { declaredLength } from "../../../src/egress/http/fields.ts";
import {
  type IncomingSecrets,
  type Leak,
  LeakError,
  type OutgoingSecrets,
  type Secrets,
} from "../../../src/egress/secrets/secrets.ts";

export const PLACEHOLDER = "sbx-placeholder-0123456789abcdef";
export const VALUE = "the-real-value";
export const SECRET_NAME = "API_KEY";

export function fakeSecrets(ownHost: string): Secrets {
  const leak = (where: string): Leak => ({ secret: SECRET_NAME, where, what: "placeholder" });
  return {
    grants: [],
    concerns: () => true,
    setValue: () => undefined,
    scrubText: (text) => text.replaceAll(VALUE, PLACEHOLDER),
    openRequest: (head) => (head.host === ownHost ? ownRequest(head) : foreignRequest(head, leak)),
    openResponse,
  };
}

function ownRequest(head: RequestHead): OutgoingSecrets {
  const used = new Set<string>();
  const put = (text: string): string => {
    if (!text.includes(PLACEHOLDER)) return text;
    used.add(SECRET_NAME);
    return text.replaceAll(PLACEHOLDER, VALUE);
  };
  const rewrites = head.fields.some(([name]) => name.toLowerCase() === "x-rewrite-body");
  const fields = lines(head.fields, put).filter(([name]) => !rewrites || name.toLowerCase() !== "content-length");
  return {
    head: { ...head, target: put(head.target), fields },
    leaks: [],
    blocked: false,
    get used() {
      return [...used];
    },
    body: () => (rewrites ? rewriting((text) => put(text)) : null),
    removedLength: rewrites ? declaredLength(head.fields) : null,
    trailers: (trailers) => lines(trailers, put),
    message: (data) => Buffer.from(put(data.toString("latin1")), "latin1"),
  };
}

function foreignRequest(head: RequestHead, leak: (where: string) => Leak): OutgoingSecrets {
  const leaks: Leak[] = [];
  if (head.target.includes(PLACEHOLDER)) leaks.push(leak("query"));
  for (const [name, value] of head.fields) if (value.includes(PLACEHOLDER)) leaks.push(leak(`header ${name}`));
  const guard = (text: string, where: string): string => {
    if (!text.includes(PLACEHOLDER)) return text;
    leaks.push(leak(where));
    throw new LeakError(leak(where));
  };
  return {
    head,
    leaks,
    blocked: leaks.length > 0,
    used: [],
    body: () => rewriting((text) => guard(text, "body")),
    removedLength: null,
    trailers: (trailers) => lines(trailers, (text) => guard(text, "trailer")),
    message: (data) => {
      guard(data.toString("latin1"), "message");
      return data;
    },
  };
}

function openResponse(_request: RequestHead, head: ResponseHead): IncomingSecrets {
  const scrub = (text: string): string => text.replaceAll(VALUE, PLACEHOLDER);
  const scrubs = head.fields.some(([name]) => name.toLowerCase() === "x-scrub-body");
  const fields = lines(head.fields, scrub).filter(([name]) => !scrubs || name.toLowerCase() !== "content-length");
  return {
    head: { ...head, fields },
    body: () => (scrubs ? rewriting(scrub) : null),
    bodyFilter: () => null,
    trailers: (trailers) => lines(trailers, scrub),
    message: (data) => Buffer.from(scrub(data.toString("latin1")), "latin1"),
  };
}

function lines(fields: FieldLines, change: (text: string) => string): FieldLines {
  return fields.map(([name, value]) => [name, change(value)]);
}

/** Chunk by chunk: the tests keep a placeholder in one. */
function rewriting(change: (text: string) => string): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) {
      try {
        done(null, Buffer.from(change(chunk.toString("latin1")), "latin1"));
      } catch (error) {
        done(error as Error);
      }
    },
  });
}
