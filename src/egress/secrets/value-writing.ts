/**
 * How a value is written where its placeholder stood, so that the upstream reads exactly the value. A way in which it
 * could be read as something else (a placeholder in an escape that is foreign to its place) leaves the placeholder.
 */
import { WRITTEN } from "./escapes.ts";
import type { Written } from "./needle.ts";

/** Where in a request a placeholder stands. `sealed`: data whose lengths are written in it, or that cannot be read. */
export type Place = "field" | "path" | "query" | "form" | "json" | "xml" | "raw" | "sealed";

const UNRESERVED = /[0-9A-Za-z\-._~]/;
/** RFC 3986's `pchar` without `;`, which begins parameters of a segment. */
const IN_PATH = /[0-9A-Za-z\-._~!$&'()*+,=:@]/;
const XML_ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const KEPT_IN_PATH = keptBytes(IN_PATH);
const KEPT_ELSEWHERE = keptBytes(UNRESERVED);

/** What to write, in base64 the bytes to encode; `null` where the placeholder has to stay. */
export function writeValue(value: string, place: Place, { form, written }: Written): Buffer | null {
  if (place === "sealed" || form === "hex") return null;
  if (typeof form === "number") return Buffer.from(value);
  if ((written & (WRITTEN.nested | WRITTEN.otherCase)) !== 0) return null;
  const text = writeText(value, place, written);
  return text === null ? null : Buffer.from(text);
}

function writeText(value: string, place: Place, written: number): string | null {
  switch (place) {
    case "path":
      return isPlainOr(written, WRITTEN.percent) ? percentEncode(value, KEPT_IN_PATH) : null;
    case "query":
    case "form":
      return isPlainOr(written, WRITTEN.percent) ? percentEncode(value, KEPT_ELSEWHERE) : null;
    case "json":
      return isPlainOr(written, WRITTEN.backslash) ? escapeJson(value) : writeEscaped(value, written);
    case "xml":
      return isPlainOr(written, WRITTEN.entity) ? escapeXml(value) : writeEscaped(value, written);
    case "field":
    case "raw":
      return written === WRITTEN.plain ? value : writeEscaped(value, written);
    case "sealed":
      return null;
  }
}

/** The value in the one kind of escape that the placeholder was in. */
function writeEscaped(value: string, written: number): string | null {
  switch (written) {
    case WRITTEN.percent:
      return percentEncode(value, KEPT_ELSEWHERE);
    case WRITTEN.backslash:
      return escapeJson(value);
    case WRITTEN.entity:
      return escapeXml(value);
    default:
      return null;
  }
}

function isPlainOr(written: number, kind: number): boolean {
  return (written & ~kind) === 0;
}

function percentEncode(value: string, kept: readonly boolean[]): string {
  let text = "";
  for (const byte of Buffer.from(value)) {
    text += kept[byte] === true ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}

function escapeJson(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

function escapeXml(value: string): string {
  return value.replace(/[&<>"']/g, (character) => XML_ENTITIES[character] ?? character);
}

function keptBytes(pattern: RegExp): boolean[] {
  return Array.from({ length: 256 }, (_, byte) => byte < 0x80 && pattern.test(String.fromCharCode(byte)));
}
