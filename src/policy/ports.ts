/** Ports of a rule: `443`, `8000-8010`, `80,443`. Input comes from the user. */
import { quoteValue, usageError } from "./usage-error.ts";

export interface PortRange {
  first: number;
  last: number;
}

export const MAX_PORT = 65_535;
const MAX_RANGES = 64;
const NUMBER = /^[1-9]\d{0,4}$/;

/** Reads them, sorted and joined where they touch. @throws SbxError `usage` */
export function parsePorts(text: string): PortRange[] {
  const parts = text.split(",");
  if (parts.length > MAX_RANGES) throw usageError(`${quoteValue(text)} names more than ${MAX_RANGES} ports`);
  return joinPorts(parts.map((part) => parseRange(part, text)));
}

/** Sorted, without overlaps. */
export function joinPorts(ranges: readonly PortRange[]): PortRange[] {
  const joined: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before === undefined || range.first > before.last + 1) joined.push({ ...range });
    else before.last = Math.max(before.last, range.last);
  }
  return joined;
}

/** As {@link parsePorts} reads them. */
export function renderPorts(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}

export function includesPort(ranges: readonly PortRange[] | null, port: number): boolean {
  if (ranges === null) return true;
  for (const { first, last } of ranges) if (port >= first && port <= last) return true;
  return false;
}

/** Whether every port of `inner` is one of `outer`. Both are joined; `null` stands for all ports. */
export function coversPorts(outer: readonly PortRange[] | null, inner: readonly PortRange[] | null): boolean {
  if (outer === null) return true;
  const wanted = inner ?? [{ first: 1, last: MAX_PORT }];
  return wanted.every((range) => outer.some(({ first, last }) => first <= range.first && last >= range.last));
}

function parseRange(part: string, whole: string): PortRange {
  const [first = "", last = first, ...more] = part.split("-");
  const range = { first: Number(first), last: Number(last) };
  const wellFormed = NUMBER.test(first) && NUMBER.test(last) && more.length === 0;
  if (!wellFormed || range.last > MAX_PORT) {
    throw usageError(
      `${quoteValue(whole)} is not a list of ports`,
      part === "*" ? "leave the port away for every port" : "write 443, 80,443 or 8000-8010, each from 1 to 65535",
    );
  }
  if (range.first > range.last) {
    throw usageError(`${quoteValue(part)} is not a range of ports`, `write ${range.last}-${range.first}`);
  }
  return range;
}
