/** Writes DER (X.690): what is needed for certificates, and nothing that reads. Inputs are sbx's own. */

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Class bits of tags that a structure numbers itself. */
const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;

/** RFC 5280: from this year on a time is a GeneralizedTime. */
const GENERALIZED_FROM_YEAR = 2050;

export function sequence(...parts: Buffer[]): Buffer {
  return element(TAG.sequence, Buffer.concat(parts));
}

export function set(...parts: Buffer[]): Buffer {
  return element(TAG.set, Buffer.concat(parts));
}

export function boolean(value: boolean): Buffer {
  return element(TAG.boolean, Buffer.of(value ? 0xff : 0));
}

/** @param magnitude unsigned, big endian */
export function integer(magnitude: Buffer): Buffer {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const bytes = magnitude.subarray(start);
  const negativeLooking = ((bytes[0] ?? 0) & 0x80) !== 0;
  return element(TAG.integer, negativeLooking ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
}

export function octetString(bytes: Buffer): Buffer {
  return element(TAG.octetString, bytes);
}

export function bitString(bytes: Buffer, unusedBits = 0): Buffer {
  return element(TAG.bitString, Buffer.concat([Buffer.of(unusedBits), bytes]));
}

export function utf8String(text: string): Buffer {
  return element(TAG.utf8String, Buffer.from(text, "utf8"));
}

/** @param dotted such as `2.5.29.17` */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return element(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** @param epochMs cut to the second */
export function time(epochMs: number): Buffer {
  const digits = new Date(epochMs)
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(/[-:T]/g, "");
  return Number(digits.slice(0, 4)) < GENERALIZED_FROM_YEAR
    ? element(TAG.utcTime, Buffer.from(digits.slice(2), "latin1"))
    : element(TAG.generalizedTime, Buffer.from(digits, "latin1"));
}

/** `[number] EXPLICIT` around an element, or an implicit tag over the contents of a constructed one. */
export function tagged(number: number, contents: Buffer): Buffer {
  return element(CONTEXT | CONSTRUCTED | number, contents);
}

/** `[number] IMPLICIT` over the contents of a primitive type. */
export function taggedPrimitive(number: number, contents: Buffer): Buffer {
  return element(CONTEXT | number, contents);
}

function element(tag: number, contents: Buffer): Buffer {
  return Buffer.concat([Buffer.of(tag, ...length(contents.length)), contents]);
}

function length(value: number): number[] {
  if (value < 0x80) return [value];
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return [0x80 | bytes.length, ...bytes];
}

function base128(value: number): number[] {
  const bytes = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift(0x80 | (rest & 0x7f));
  return bytes;
}
