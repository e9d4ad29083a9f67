/** One sandbox's secrets and what goes through them, for the tests of this directory. */
import { pipeline } from "node:stream/promises";
import { Readable, type Transform, Writable } from "node:stream";
import type { FieldLines, RequestHead, ResponseHead } from "../../../src/egress/http-heads.ts";
import { createSecrets } from "../../../src/egress/secrets/create-secrets.ts";
import type { Leak, LeakAction, Secrets } from "../../../src/egress/secrets/secrets.ts";
import type { SecretHost } from "../../../src/policy/spec.ts";

export const VALUE = 'sk-live/+abc&"x\\y=é 1234567890%q';
export const PLAIN_VALUE = "sk-proj-0123456789abcdefABCDEF";

export const API: SecretHost = { host: "api.example.com", port: null, scheme: "https" };

export interface Sandbox {
  secrets: Secrets;
  leaks: { leak: Leak; head: RequestHead }[];
  /** Of the secret KEY, which belongs to api.example.com. */
  placeholder: string;
}

export function openSandbox(
  options: {
    value?: string | null;
    onLeak?: LeakAction;
    hosts?: SecretHost[];
    more?: string[];
    /** Value of another secret of the same hosts. */
    second?: string;
  } = {},
): Sandbox {
  const { value = PLAIN_VALUE, onLeak = "block", hosts = [API], more = [], second } = options;
  const leaks: Sandbox["leaks"] = [];
  const secrets = createSecrets({
    grants: [
      { name: "KEY", hosts },
      ...(second === undefined ? [] : [{ name: "SECOND", hosts }]),
      ...more.map((name) => ({ name, hosts: [{ ...API, host: `${name}.example.net` }] })),
    ],
    onLeak,
    report: (leak, head) => leaks.push({ leak, head }),
  });
  if (value !== null) secrets.setValue("KEY", value);
  if (second !== undefined) secrets.setValue("SECOND", second);
  return { secrets, leaks, placeholder: placeholderOf(secrets, "KEY") };
}

export function placeholderOf(secrets: Secrets, name: string): string {
  const grant = secrets.grants.find((known) => known.name === name);
  if (grant === undefined) throw new Error(`no secret ${name}`);
  return grant.placeholder;
}

export function request(head: Partial<RequestHead> = {}): RequestHead {
  return { method: "POST", scheme: "https", host: "api.example.com", port: 443, target: "/", fields: [], ...head };
}

export function response(fields: FieldLines = [], status = 200): ResponseHead {
  return { status, fields };
}

export function fieldOf(head: { fields: FieldLines }, name: string): string | undefined {
  return head.fields.find((line) => line[0].toLowerCase() === name)?.[1];
}

/** What comes out of a body's stream; `null` is one through which the body need not go. */
export async function send(body: Transform | null, chunks: readonly (Buffer | string)[]): Promise<Buffer> {
  const input = chunks.map((chunk) => (typeof chunk === "string" ? Buffer.from(chunk) : chunk));
  if (body === null) return Buffer.concat(input);
  const { output, error } = await sendUntilError(body, input);
  if (error !== null) throw error;
  return output;
}

/** The same with what came out before an error. */
export async function sendUntilError(
  body: Transform,
  chunks: readonly Buffer[],
): Promise<{ output: Buffer; error: Error | null }> {
  const output: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      output.push(chunk);
      done();
    },
  });
  try {
    await pipeline(Readable.from(chunks), body, sink);
    return { output: Buffer.concat(output), error: null };
  } catch (error) {
    return { output: Buffer.concat(output), error: error as Error };
  }
}

/** A body in pieces of one size. */
export function cut(data: Buffer, size: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < data.length; at += size) pieces.push(data.subarray(at, at + size));
  return pieces;
}

/** Many ways to write a text; each is one that real programs write. */
export const WRITINGS: Readonly<Record<string, (text: string) => string>> = {
  plain: (text) => text,
  "percent-encoded": (text) => encodeURIComponent(text),
  "percent-encoded in lower case": (text) => encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase()),
  "percent-encoded wholly": (text) => Buffer.from(text).toString("hex").replace(/../g, "%$&"),
  "percent-encoded twice": (text) => encodeURIComponent(encodeURIComponent(text)),
  form: (text) => new URLSearchParams([["k", text]]).toString().slice(2),
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  "JSON with escaped slashes": (text) => JSON.stringify(text).slice(1, -1).replaceAll("/", "\\/"),
  "JSON with code units": (text) => units(text, "\\u"),
  "JSON with code units in capitals": (text) => units(text, "\\u").replace(/[a-f]/g, (digit) => digit.toUpperCase()),
  "JSON safe for HTML": (text) =>
    JSON.stringify(text)
      .slice(1, -1)
      .replace(/[&<>'+=]/g, (character) => units(character, "\\u")),
  "JSON in JSON": (text) => JSON.stringify(JSON.stringify(text)).slice(3, -3),
  HTML: (text) => text.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;").replace(/'/g, "&#39;"),
  "HTML in numbers": (text) => Array.from(text, (character) => `&#${String(character.codePointAt(0))};`).join(""),
  "HTML in hexadecimal numbers": (text) =>
    Array.from(text, (character) => `&#x${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()};`).join(""),
  hexadecimal: (text) => Buffer.from(text).toString("hex"),
  "hexadecimal in capitals": (text) => Buffer.from(text).toString("hex").toUpperCase(),
  base64: (text) => Buffer.from(text).toString("base64"),
  "base64 one byte later": (text) => Buffer.from(`:${text}`).toString("base64"),
  "base64 two bytes later": (text) => Buffer.from(`u:${text};more`).toString("base64"),
  "base64 for URLs": (text) => Buffer.from(`x>>${text}?`).toString("base64url"),
  "base64 in JSON": (text) => Buffer.from(`u:${text}`).toString("base64").replaceAll("/", "\\/"),
  "base64 in a URL": (text) => encodeURIComponent(Buffer.from(`${text}tail`).toString("base64")),
};

function units(text: string, prefix: string): string {
  return Array.from(text, (character) =>
    Array.from(
      { length: character.length },
      (_, at) => prefix + character.charCodeAt(at).toString(16).padStart(4, "0"),
    ).join(""),
  ).join("");
}
