/**
 * Makes the two kinds of X.509 certificates that sbx needs: an authority (a sandbox's, or that of a control plane's
 * gateway), and a leaf for one host (RFC 5280).
 *
 * Written here and not taken from `@peculiar/x509` 2.2 because of the supervisor's start: bundled, that is 357 kB which
 * take 50 ms to load and 17 to 25 ms for the first certificate, even with V8's code cache. This takes under 1 ms, and
 * the profile never changes.
 */
import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { findAddress, type IpAddress, widthOf } from "../policy/ip-address.ts";
import * as der from "./der.ts";

const OID = {
  commonName: "2.5.4.3",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
} as const;

/** Bits of KeyUsage in their first byte, as a BIT STRING numbers them, and how many bits after the last one. */
const KEY_CERT_SIGN_AND_CRL_SIGN = { bits: 0b0000_0110, unused: 1 };
const DIGITAL_SIGNATURE = { bits: 0b1000_0000, unused: 7 };

/** GeneralName: dNSName and iPAddress. */
const DNS_NAME = 2;
const IP_ADDRESS = 7;

/** ub-common-name: a longer one is refused by strict parsers. */
const MAX_COMMON_NAME_CHARS = 64;

const SERIAL_BYTES = 16;
const KEY_ID_BYTES = 20;

export interface Validity {
  /** Epoch `ms`. */
  notBefore: number;
  notAfter: number;
}

/** Who signs: the key pair of an authority and the name in its certificate. */
export interface Issuer {
  commonName: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

/**
 * A certificate that `issuer` signs for itself.
 *
 * @param domain that the authority is good for, with all below it, and for nothing else; everything if absent
 * @returns DER
 */
export function makeAuthorityCertificate(issuer: Issuer, validity: Validity, domain?: string): Buffer {
  return signCertificate(issuer, issuer.commonName, issuer.publicKey, validity, [
    extension(OID.basicConstraints, der.sequence(der.boolean(true), der.integer(Buffer.of(0))), "critical"),
    extension(OID.keyUsage, keyUsage(KEY_CERT_SIGN_AND_CRL_SIGN), "critical"),
    ...(domain === undefined ? [] : [extension(OID.nameConstraints, onlyBelow(domain), "critical")]),
    subjectKeyIdentifier(issuer.publicKey),
    authorityKeyIdentifier(issuer.publicKey),
  ]);
}

/** A server certificate. @param host canonical name or address @returns DER */
export function makeLeafCertificate(issuer: Issuer, host: string, publicKey: KeyObject, validity: Validity): Buffer {
  // Clients take the name from subjectAltName alone; the subject is for people, but must not be empty.
  const commonName = host.length <= MAX_COMMON_NAME_CHARS ? host : "sbx sandbox leaf";
  return signCertificate(issuer, commonName, publicKey, validity, [
    extension(OID.basicConstraints, der.sequence(), "critical"),
    extension(OID.keyUsage, keyUsage(DIGITAL_SIGNATURE), "critical"),
    extension(OID.extendedKeyUsage, der.sequence(der.oid(OID.serverAuth))),
    extension(OID.subjectAltName, der.sequence(generalName(host))),
    subjectKeyIdentifier(publicKey),
    authorityKeyIdentifier(issuer.publicKey),
  ]);
}

export function toPem(certificate: Buffer): string {
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function signCertificate(
  issuer: Issuer,
  commonName: string,
  publicKey: KeyObject,
  validity: Validity,
  extensions: Buffer[],
): Buffer {
  const algorithm = der.sequence(der.oid(OID.ecdsaWithSha256));
  const version3 = der.tagged(0, der.integer(Buffer.of(2)));
  const body = der.sequence(
    version3,
    der.integer(serialNumber()),
    algorithm,
    distinguishedName(issuer.commonName),
    der.sequence(der.time(validity.notBefore), der.time(validity.notAfter)),
    distinguishedName(commonName),
    publicKey.export({ type: "spki", format: "der" }),
    der.tagged(3, der.sequence(...extensions)),
  );
  return der.sequence(body, algorithm, der.bitString(sign("sha256", body, issuer.privateKey)));
}

/** Positive, and never shorter than announced: the first byte is between 0x40 and 0x7f. */
function serialNumber(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes;
}

function distinguishedName(commonName: string): Buffer {
  return der.sequence(der.set(der.sequence(der.oid(OID.commonName), der.utf8String(commonName))));
}

function extension(id: string, value: Buffer, criticality?: "critical"): Buffer {
  const critical = criticality === undefined ? [] : [der.boolean(true)];
  return der.sequence(der.oid(id), ...critical, der.octetString(value));
}

function keyUsage(usage: { bits: number; unused: number }): Buffer {
  return der.bitString(Buffer.of(usage.bits), usage.unused);
}

function subjectKeyIdentifier(publicKey: KeyObject): Buffer {
  return extension(OID.subjectKeyIdentifier, der.octetString(keyIdentifier(publicKey)));
}

function authorityKeyIdentifier(publicKey: KeyObject): Buffer {
  return extension(OID.authorityKeyIdentifier, der.sequence(der.taggedPrimitive(0, keyIdentifier(publicKey))));
}

/** RFC 7093, section 2, method 4: a hash of the whole SubjectPublicKeyInfo; any unique value does. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const info = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(info).digest().subarray(0, KEY_ID_BYTES);
}

/** RFC 5280, 4.2.1.10. What is said of names does not bind addresses: they are excluded, all of both families. */
function onlyBelow(domain: string): Buffer {
  const name = der.sequence(der.taggedPrimitive(DNS_NAME, Buffer.from(domain, "latin1")));
  const addresses = [8, 32].map((length) => der.sequence(der.taggedPrimitive(IP_ADDRESS, Buffer.alloc(length))));
  return der.sequence(der.tagged(0, name), der.tagged(1, Buffer.concat(addresses)));
}

function generalName(host: string): Buffer {
  const address = findAddress(host);
  return address === undefined
    ? der.taggedPrimitive(DNS_NAME, Buffer.from(host, "latin1"))
    : der.taggedPrimitive(IP_ADDRESS, addressBytes(address));
}

function addressBytes({ family, value }: IpAddress): Buffer {
  return Buffer.from(value.toString(16).padStart(widthOf(family) / 4, "0"), "hex");
}
