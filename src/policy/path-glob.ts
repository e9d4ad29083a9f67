/**
 * Rules by path: `*` stands for characters of one segment, `**` for any number of segments.
 *
 * Servers disagree about what a path is: whether `//` is `/`, whether `..` is resolved, what `%2f` or `;` mean. A
 * request's path is therefore read in each plausible way. An allow rule must match every reading, a deny rule any; a
 * path whose reading is anybody's guess matches no allow rule and every deny rule. The path is the guest's.
 */
import { quoteValue, usageError } from "./usage-error.ts";

/** Longest path that rules look at, without its query. */
const MAX_PATH_LENGTH = 16 * 1024;
const MAX_GLOB_LENGTH = 1024;
const MAX_GLOB_SEGMENTS = 64;

/** A segment that a glob asks for. */
type GlobSegment =
  | { kind: "text"; text: string; folded: string }
  | { kind: "pattern"; parts: readonly string[]; folded: readonly string[] }
  /** `**` */
  | { kind: "any" };

export type PathGlob = readonly GlobSegment[];

export type PathReadings =
  | { kind: "unclear" }
  | {
      kind: "clear";
      /** Segments of the path in each plausible reading; the first is as it was sent. */
      strict: readonly (readonly string[])[];
      /** Those, and more that only some servers have, in lower case. */
      loose: readonly (readonly string[])[];
    };

/** Reads a glob. @throws SbxError `usage` */
export function parsePathGlob(text: string): PathGlob {
  const wrong = (why: string, hint?: string): never => {
    throw usageError(`${quoteValue(text)} is not a path pattern: ${why}`, hint);
  };
  if (!text.startsWith("/")) wrong("it does not begin with /", "write /v1/* or /v1/**");
  if (text.length > MAX_GLOB_LENGTH) wrong("it is too long");
  if (/[\u0000-\u001f\u007f\\?#;]/.test(text)) {
    wrong("it has a character that is not part of a path: control characters, \\, ?, # or ;");
  }
  if (/%[0-9a-f]{2}/i.test(text)) wrong("it is percent-encoded", "write the path decoded");
  const segments = text.slice(1).split("/");
  if (segments.length > MAX_GLOB_SEGMENTS) wrong(`it has more than ${MAX_GLOB_SEGMENTS} segments`);
  if (segments.some((segment) => segment === "." || segment === "..")) wrong("it has a . or .. segment");
  if (segments.slice(0, -1).includes("")) wrong("it has an empty segment");
  if (segments.some((segment) => segment !== "**" && segment.includes("**"))) {
    wrong("** stands for whole segments", "write /v1/**/x, or * for a part of a segment");
  }
  return segments.map(toGlobSegment);
}

/** Reads the path of a request's target. */
export function readPath(target: string): PathReadings {
  const query = target.indexOf("?");
  const raw = query === -1 ? target : target.slice(0, query);
  if (!raw.startsWith("/") || raw.length > MAX_PATH_LENGTH) return { kind: "unclear" };
  const decoded = decodePath(raw);
  if (decoded === undefined) return { kind: "unclear" };
  const sent = decoded.slice(1).split("/");
  const strict = [sent];
  const plain = !sent.some((segment) => segment === "" || segment === "." || segment === "..");
  if (!plain) {
    strict.push(resolveDots(sent), mergeSlashes(sent));
    strict.push(resolveDots(mergeSlashes(sent)), mergeSlashes(resolveDots(sent)));
  }
  return { kind: "clear", strict, loose: strict.flatMap(looseReadings) };
}

/** Whether an allow rule with the glob holds for the path. */
export function pathIsCertainly(glob: PathGlob, path: PathReadings): boolean {
  return path.kind === "clear" && path.strict.every((segments) => matches(glob, segments, false));
}

/** Whether a deny rule with the glob holds for the path. */
export function pathMayBe(glob: PathGlob, path: PathReadings): boolean {
  return path.kind === "unclear" || path.loose.some((segments) => matches(glob, segments, true));
}

/** What every path that the glob matches begins with, in lower case: whole segments, each after a slash. */
export function literalPrefix(glob: PathGlob): string {
  let prefix = "";
  for (const segment of glob) {
    if (segment.kind !== "text") break;
    prefix += `/${segment.folded}`;
  }
  return prefix;
}

function toGlobSegment(segment: string): GlobSegment {
  if (segment === "**") return { kind: "any" };
  const folded = segment.toLowerCase();
  if (!segment.includes("*")) return { kind: "text", text: segment, folded };
  return { kind: "pattern", parts: segment.split("*"), folded: folded.split("*") };
}

/** Undefined where decoding once does not give what every server would see. */
function decodePath(raw: string): string | undefined {
  if (/[^\u0021-\u007e]|[\\;#]/.test(raw)) return undefined;
  if (!raw.includes("%")) return raw;
  // Separators, controls and what ends a path, encoded: some decode them before they split, some after, some never.
  if (/%(?:2f|5c|3b|3f|23|[01][0-9a-f]|7f)/i.test(raw)) return undefined;
  try {
    const decoded = decodeURIComponent(raw);
    return /%[0-9a-f]{2}/i.test(decoded) ? undefined : decoded;
  } catch {
    return undefined; // not UTF-8, or a % without two digits
  }
}

function resolveDots(segments: readonly string[]): string[] {
  const resolved: string[] = [];
  for (const [at, segment] of segments.entries()) {
    const isLast = at === segments.length - 1;
    if (segment === "..") resolved.pop();
    if (segment !== "." && segment !== "..") resolved.push(segment);
    else if (isLast) resolved.push("");
  }
  return resolved.length === 0 ? [""] : resolved;
}

/** Empty segments away, but for the one that stands for a slash at the end. */
function mergeSlashes(segments: readonly string[]): string[] {
  return segments.filter((segment, at) => segment !== "" || at === segments.length - 1);
}

/** Without regard to case, and with or without a slash at the end. */
function looseReadings(segments: readonly string[]): string[][] {
  const folded = segments.map((segment) => segment.toLowerCase());
  if (folded.at(-1) !== "") return [folded, [...folded, ""]];
  return folded.length > 1 ? [folded, folded.slice(0, -1)] : [folded];
}

/** `**` takes as little as it can, and one more each time that the rest does not fit; only the last has to be retried. */
function matches(glob: PathGlob, segments: readonly string[], loose: boolean): boolean {
  let globAt = 0;
  let at = 0;
  let retryGlob = -1;
  let retryAt = 0;
  while (at < segments.length) {
    const wanted = glob[globAt];
    if (wanted?.kind === "any") {
      retryGlob = ++globAt;
      retryAt = at;
    } else if (wanted !== undefined && segmentMatches(wanted, segments[at] ?? "", loose)) {
      globAt++;
      at++;
    } else if (retryGlob !== -1) {
      globAt = retryGlob;
      at = ++retryAt;
    } else return false;
  }
  while (glob[globAt]?.kind === "any") globAt++;
  return globAt === glob.length;
}

function segmentMatches(wanted: Exclude<GlobSegment, { kind: "any" }>, segment: string, loose: boolean): boolean {
  if (wanted.kind === "text") return segment === (loose ? wanted.folded : wanted.text);
  const parts = loose ? wanted.folded : wanted.parts;
  const [first = ""] = parts;
  const last = parts.at(-1) ?? "";
  // A lone * asks for at least one character, so that /v1/* is not /v1/.
  if (segment === "" || segment.length < first.length + last.length) return false;
  if (!segment.startsWith(first) || !segment.endsWith(last)) return false;
  let from = first.length;
  const end = segment.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = segment.indexOf(part, from);
    if (found === -1 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}
