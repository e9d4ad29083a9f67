/**
 * What `sbx net check` is asked about: `[METHOD] URL`, where the URL may be a host alone (HTTPS) or a host and a port (a
 * connection). Input comes from the user.
 */
import { MAX_PORT } from "../../policy/ports.ts";
import { quoteValue, usageError } from "./usage-error.ts";

export interface CheckTarget {
  method: string;
  /** `http:`, `https:` or `tcp://HOST:PORT`. */
  url: string;
  /** For a person. */
  text: string;
}

const METHOD = /^[A-Za-z][A-Za-z0-9-]{0,31}$/;
const HOST_PORT = /^(\[[^\]/]+\]|[^\s/:[\]]+):(\d{1,5})$/;

/** @throws SbxError `usage` */
export function parseCheckTarget(words: readonly string[]): CheckTarget {
  const [first = "", second] = words;
  if (words.length > 2 || first === "") {
    throw usageError(
      "give a URL, perhaps with a method before it",
      "sbx net check SANDBOX GET https://api.example.com/",
    );
  }
  const method = second === undefined ? "GET" : first.toUpperCase();
  if (!METHOD.test(method)) throw usageError(`${quoteValue(first)} is not an HTTP method`, "such as GET or POST");
  const place = second ?? first;
  const port = HOST_PORT.exec(place)?.[2];
  if (port !== undefined) {
    if (second !== undefined)
      throw usageError("a method needs a URL", `sbx net check SANDBOX ${method} https://${place}/`);
    if (Number(port) < 1 || Number(port) > MAX_PORT) throw usageError(`${quoteValue(place)} has no port`);
    return { method, url: `tcp://${place}`, text: place };
  }
  const written = /^[a-z][a-z0-9+.-]*:\/\//i.test(place) ? place : `https://${place}`;
  const url = URL.parse(written);
  if (url === null || !["http:", "https:", "tcp:"].includes(url.protocol)) {
    throw usageError(`${quoteValue(place)} is not a URL`, "such as https://api.example.com/v1 or db.example.com:5432");
  }
  // As written: what a parser would make of the path is for the enforcement to say.
  if (url.protocol === "tcp:") return { method, url: written, text: written.slice("tcp://".length) };
  return { method, url: written, text: `${method} ${written}` };
}
