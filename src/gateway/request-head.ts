/**
 * Heads of HTTP/1 requests, as the gateway judges them. The bytes come from anybody who can open a port of this
 * machine's loopback: web pages, other accounts. Only the strict form of RFC 9112 is taken; whatever two readers could
 * understand in two ways is refused.
 */

/** Longest head, `bytes`. */
export const MAX_HEAD_BYTES = 64 * 1024;
const MAX_FIELDS = 256;

/** How far the body of a request goes. */
export type BodyLength = { kind: "bytes"; bytes: number } | { kind: "chunked" };

export interface RequestHead {
  method: string;
  /** `origin` is what a server is asked; `*` is that of OPTIONS. */
  target: string;
  /** Lower case, with the port if there is one; `undefined` where there is none, as HTTP/1.0 allows. */
  host: string | undefined;
  /** `null` for no body. */
  body: BodyLength | null;
  /** The connection is to become something else, such as a WebSocket. */
  upgrades: boolean;
  origin: string | undefined;
  accept: string;
  /** Asks the gateway to wait for the server (pages.ts). */
  waits: boolean;
}

/** A head that is not passed on. `status` is the answer. */
export class HeadError extends Error {
  readonly status: 400 | 431 | 505;
  constructor(status: HeadError["status"], message: string) {
    super(message);
    this.name = "HeadError";
    this.status = status;
  }
}

const HEAD_END = Buffer.from("\r\n\r\n");
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP\/(\d)\.(\d)$/;
/** A value may hold what is visible, blanks between it, and bytes beyond ASCII. */
const FIELD =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/;
const CONTENT_LENGTH = /^\d{1,15}$/;
/** What Host may be (RFC 9110, 7.2), without names that nobody has. */
const HOST = /^(?:[a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/;
/** Fields that must not be there twice: readers differ in which one they take. */
const SINGLE = new Set(["host", "content-length", "transfer-encoding", "origin", "upgrade"]);

/**
 * Where the head ends that the bytes begin with; -1 if more is needed.
 *
 * @param from how far it was looked for before
 */
export function findHeadEnd(bytes: Buffer, from = 0): number {
  const at = bytes.indexOf(HEAD_END, Math.max(0, from - HEAD_END.length + 1));
  return at === -1 ? -1 : at + HEAD_END.length;
}

/**
 * Reads a whole head, its empty line included.
 *
 * @throws HeadError
 */
export function parseHead(bytes: Buffer): RequestHead {
  const lines = bytes.toString("latin1", 0, bytes.length - HEAD_END.length).split("\r\n");
  const { method, target } = parseRequestLine(lines[0] ?? "");
  const fields = parseFields(lines);
  const host = fields.get("host")?.toLowerCase();
  if (host === undefined ? lines[0]?.endsWith("1") === true : !HOST.test(host)) {
    throw new HeadError(400, "a request names one host");
  }
  // RFC 9112, 6.1: its sender cannot mean that, and servers differ in what they make of it.
  if (lines[0]?.endsWith("0") === true && fields.has("transfer-encoding")) {
    throw new HeadError(400, "HTTP/1.0 knows no transfer-encoding");
  }
  return {
    ...{ method, target, host, body: bodyLength(fields) },
    upgrades: fields.has("upgrade") && /(?:^|,)[ \t]*upgrade[ \t]*(?:,|$)/i.test(fields.get("connection") ?? ""),
    origin: fields.get("origin"),
    accept: fields.get("accept") ?? "",
    waits: fields.has("x-sbx-wait"),
  };
}

function parseRequestLine(line: string): { method: string; target: string } {
  const [, method = "", target = "", major, minor] = REQUEST_LINE.exec(line) ?? [];
  if (method === "") throw new HeadError(400, "this is no request");
  if (major !== "1" || (minor !== "0" && minor !== "1")) throw new HeadError(505, "HTTP/1.1 is spoken here");
  // Absolute targets and CONNECT are for proxies; servers that are none differ in what they make of them.
  if (!target.startsWith("/") && !(target === "*" && method === "OPTIONS")) {
    throw new HeadError(400, "this is no proxy");
  }
  return { method, target };
}

/**
 * Fields of a head, by their names in lower case.
 *
 * @param lines the first one is none
 * @throws HeadError for what readers may differ in
 */
export function parseFields(lines: readonly string[]): Map<string, string> {
  if (lines.length - 1 > MAX_FIELDS) throw new HeadError(431, `a head has up to ${MAX_FIELDS} fields`);
  const fields = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const [, name = "", value = ""] = FIELD.exec(lines[index] ?? "") ?? [];
    if (name === "") throw new HeadError(400, "a field of the head is not well formed");
    const key = name.toLowerCase();
    const before = fields.get(key);
    if (before !== undefined && SINGLE.has(key)) throw new HeadError(400, `there is one ${key} in a head`);
    fields.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

function bodyLength(fields: ReadonlyMap<string, string>): BodyLength | null {
  const coding = fields.get("transfer-encoding");
  const length = fields.get("content-length");
  if (coding !== undefined) {
    if (length !== undefined || coding.toLowerCase() !== "chunked") {
      throw new HeadError(400, "a body has a length or is chunked");
    }
    return { kind: "chunked" };
  }
  if (length === undefined) return null;
  if (!CONTENT_LENGTH.test(length)) throw new HeadError(400, "content-length is a number");
  const bytes = Number(length);
  return bytes === 0 ? null : { kind: "bytes", bytes };
}
