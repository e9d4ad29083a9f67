/** Field lines: what of them crosses from one leg to the other. They were parsed by Node's strict parsers, no more. */
import type { FieldLines } from "../http-heads.ts";

type Line = readonly [name: string, value: string];

/**
 * Belongs to one connection, not to the message (RFC 9110, 7.6.1). `te` is looked at by itself. `alt-svc` speaks of other
 * ways to the same host (QUIC, other ports), none of which leads out of a sandbox: clients only lose time with them.
 */
const DROPPED = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "proxy-authenticate",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "host",
  "expect",
  "alt-svc",
]);
/** What a trailer may not say, because it was needed before (RFC 9110, 6.5.1). */
const DROPPED_FROM_TRAILERS = new Set(["content-length", "content-encoding", "content-type", "trailer", "te"]);
/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, 5.5, without the lenience towards obs-fold. */
const FORBIDDEN_IN_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/;
const DECIMAL = /^[0-9]{1,15}$/;

/** Text of a head or of trailers. An HTTP/2 peer is held to a limit by its library only once it has acknowledged that. */
export function textBytes(raw: readonly string[]): number {
  let bytes = 0;
  for (const text of raw) bytes += text.length;
  return bytes;
}

/** All values of a field, which is named in lower case, in Node's flat `rawHeaders`. */
export function rawValues(raw: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if (isNamed(raw[index] ?? "", name)) values.push(raw[index + 1] ?? "");
  }
  return values;
}

/** Most names have another length, which is seen without making text. */
function isNamed(text: string, name: string): boolean {
  return text.length === name.length && (text === name || text.toLowerCase() === name);
}

/**
 * The lines that cross. HTTP/2 splits a Cookie field to compress it (RFC 9113, 8.2.3): it is put together again, so that
 * the upstream and whoever reads the head see one.
 */
export function endToEndLines(raw: readonly string[]): FieldLines {
  const named = connectionOptions(raw);
  const lines: Line[] = [];
  let cookieAt = -1;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    const value = raw[index + 1] ?? "";
    const key = name.toLowerCase();
    if (name.startsWith(":") || DROPPED.has(key) || named?.has(key) === true) continue;
    const earlier = key === "cookie" && cookieAt >= 0 ? lines[cookieAt] : undefined;
    if (key === "te") {
      if (/(?:^|,)\s*trailers\s*(?:,|$)/i.test(value)) lines.push([name, "trailers"]);
    } else if (earlier !== undefined) {
      lines[cookieAt] = [earlier[0], `${earlier[1]}; ${value}`];
    } else {
      if (key === "cookie") cookieAt = lines.length;
      lines.push([name, value]);
    }
  }
  return lines;
}

export function trailerLines(raw: readonly string[]): FieldLines {
  return endToEndLines(raw).filter(([name]) => !DROPPED_FROM_TRAILERS.has(name.toLowerCase()));
}

/** What Connection names besides the usual; framing and what tells how to read the body are not for it to take away. */
function connectionOptions(raw: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let index = 0; index + 1 < raw.length; index += 2) {
    if (!isNamed(raw[index] ?? "", "connection")) continue;
    for (const option of (raw[index + 1] ?? "").split(",")) {
      const key = option.trim().toLowerCase();
      if (key !== "" && key !== "keep-alive" && key !== "close" && key !== "te" && !key.startsWith("content-")) {
        (named ??= new Set()).add(key);
      }
    }
  }
  return named;
}

/** All values of a field, which is named in lower case. */
export function fieldValues(lines: FieldLines, name: string): string[] {
  const values: string[] = [];
  for (const line of lines) if (isNamed(line[0], name)) values.push(line[1]);
  return values;
}

export function withoutField(fields: FieldLines, name: string): FieldLines {
  return fields.filter((line) => !isNamed(line[0], name));
}

/** What Content-Length says; `null` where there is none. @throws RangeError for several, or for what is no number */
export function declaredLength(fields: FieldLines): number | null {
  const values = fieldValues(fields, "content-length");
  const [first] = values;
  if (first === undefined) return null;
  if (values.length > 1 || !DECIMAL.test(first)) throw new RangeError("the message has no single valid Content-Length");
  return Number(first);
}

/** Node's flat form. */
export function flatLines(fields: FieldLines, lowerCase: boolean): string[] {
  const flat: string[] = [];
  for (const [name, value] of fields) flat.push(lowerCase ? name.toLowerCase() : name, value);
  return flat;
}

/** Node's object form in lower case, where it takes no other. */
export function asHeaderObject(fields: FieldLines): Record<string, string | string[]> {
  const object = Object.create(null) as Record<string, string | string[]>;
  for (const [name, value] of fields) {
    const key = name.toLowerCase();
    const earlier = object[key];
    object[key] = earlier === undefined ? value : [earlier, value].flat();
  }
  return object;
}

/** Node's form for trailers. */
export function pairs(fields: FieldLines): [string, string][] {
  return fields.map(([name, value]) => [name, value]);
}

/** The first line that may not be sent, in words; `null` where all may. Hooks and secrets make lines as well. */
export function findBadLine(fields: FieldLines): string | null {
  for (const [name, value] of fields) {
    if (!TOKEN.test(name)) return "a field's name is not a token";
    if (FORBIDDEN_IN_VALUE.test(value)) return `the field ${name.toLowerCase()} has a forbidden character`;
  }
  return null;
}
