/**
 * The hash under which OpenSSL looks for a certificate in a directory (X509_NAME_hash): the first four bytes, least
 * significant first, of the SHA-1 of the subject in its canonical form (x509_name_canon in crypto/x509/x_name.c). The
 * certificate is one of the user's, or a sandbox's own; one that does not parse is an error.
 */
import { createHash, type X509Certificate } from "node:crypto";
import * as der from "../../pki/der.ts";

const TAG = { sequence: 0x30, version: 0xa0 } as const;

/** String types that are compared by their text, and how many bytes a character has in them (0: UTF-8). */
const TEXT_TAGS: ReadonlyMap<number, number> = new Map([
  [0x0c, 0],
  [0x13, 1],
  [0x14, 1],
  [0x16, 1],
  [0x1a, 1],
  [0x1e, 2],
  [0x1c, 4],
]);

interface Element {
  tag: number;
  content: Buffer;
  /** The element with its tag and length. */
  whole: Buffer;
}

/** Eight lower-case hexadecimal digits. @throws Error for a certificate whose DER is not as RFC 5280 has it */
export function subjectHash(certificate: X509Certificate): string {
  const canonical = subjectOf(certificate.raw).map((rdn) => der.set(canonicalRdn(rdn)));
  const hash = createHash("sha1").update(Buffer.concat(canonical)).digest();
  return hash.readUInt32LE(0).toString(16).padStart(8, "0");
}

/** TBSCertificate begins: version (optional), serial, signature, issuer, validity, subject. */
function subjectOf(certificate: Buffer): Element[] {
  const [outer] = elements(certificate);
  const [tbs] = elements(outer?.content ?? Buffer.alloc(0));
  const fields = elements(tbs?.content ?? Buffer.alloc(0));
  const subject = fields[fields[0]?.tag === TAG.version ? 5 : 4];
  if (subject?.tag !== TAG.sequence) throw new Error("the certificate has no subject where one belongs");
  return elements(subject.content);
}

function canonicalRdn(rdn: Element): Buffer {
  const attributes = elements(rdn.content).map((attribute) => {
    const [type, value] = elements(attribute.content);
    if (type === undefined || value === undefined) throw new Error("an attribute of the subject is incomplete");
    return der.sequence(type.whole, canonicalValue(value));
  });
  // A set has no order of its own: DER's, by bytes.
  return Buffer.concat(attributes.sort((a, b) => a.compare(b)));
}

/** Text is compared without regard to case (of ASCII) and to how many spaces there are; all else as it is. */
function canonicalValue(value: Element): Buffer {
  const width = TEXT_TAGS.get(value.tag);
  if (width === undefined) return value.whole;
  const text = decode(value.content, width)
    .replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, "")
    .replace(/[ \t\n\v\f\r]+/g, " ")
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return der.utf8String(text);
}

function decode(content: Buffer, width: number): string {
  if (width === 0) return content.toString("utf8");
  if (width === 1) return content.toString("latin1");
  let text = "";
  for (let at = 0; at + width <= content.length; at += width)
    text += String.fromCodePoint(content.readUIntBE(at, width));
  return text;
}

/** The elements one after another. @throws Error where they do not fit */
function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes.readUInt8(at);
    const first = bytes.readUInt8(at + 1);
    const more = first < 0x80 ? 0 : first & 0x7f;
    if (more > 4) throw new Error("a length in the certificate is too long");
    const length = more === 0 ? first : bytes.readUIntBE(at + 2, more);
    const start = at + 2 + more;
    if (start + length > bytes.length) throw new Error("the certificate is cut");
    found.push({ tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(at, start + length) });
    at = start + length;
  }
  return found;
}
