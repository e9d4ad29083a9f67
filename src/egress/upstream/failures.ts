/**
 * What went wrong with an upstream, in words for a person. Certificates and alerts were made by the upstream: what is
 * taken from them is cut, and stripped of everything that a terminal might obey.
 */
import type { PeerCertificate } from "node:tls";
import { renderTarget } from "../../policy/render.ts";
import type { ConnectionTarget } from "../../policy/spec.ts";
import { UpstreamError, type UpstreamErrorCode } from "./upstream.ts";

const MAX_SHOWN_CHARS = 200;

const SOCKET_ERRORS: Readonly<Record<string, readonly [UpstreamErrorCode, string]>> = {
  ECONNREFUSED: ["refused", "refused the connection"],
  ENETUNREACH: ["unreachable", "cannot be reached: there is no route to its network"],
  EHOSTUNREACH: ["unreachable", "cannot be reached: there is no route to it"],
  EADDRNOTAVAIL: ["unreachable", "cannot be reached: this machine has no address to call from"],
  EAFNOSUPPORT: ["unreachable", "cannot be reached: this machine does not speak its kind of address"],
  EACCES: ["unreachable", "cannot be reached: this machine's firewall forbids it"],
  EPERM: ["unreachable", "cannot be reached: this machine's firewall forbids it"],
  EMFILE: ["unreachable", "cannot be reached: too many files are open"],
  ENFILE: ["unreachable", "cannot be reached: too many files are open"],
  ETIMEDOUT: ["timeout", "does not answer"],
  ECONNRESET: ["reset", "closed the connection"],
  ECONNABORTED: ["reset", "closed the connection"],
  EPIPE: ["reset", "closed the connection"],
};

/** Of OpenSSL's verification, as Node names them. */
const CERTIFICATE_ERRORS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "has expired",
  CERT_NOT_YET_VALID: "is not valid yet",
  DEPTH_ZERO_SELF_SIGNED_CERT: "is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: "is signed by an authority that this machine does not trust",
  UNABLE_TO_GET_ISSUER_CERT: "is signed by an authority that this machine does not know",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "is signed by an authority that this machine does not know",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "is signed by an authority that this machine does not know",
  CERT_REVOKED: "was revoked",
  CERT_SIGNATURE_FAILURE: "has a signature that is wrong",
  CERT_UNTRUSTED: "is signed by an authority that this machine does not trust",
  CERT_REJECTED: "is rejected by this machine",
  INVALID_CA: "is signed by something that is no authority",
  INVALID_PURPOSE: "is not for servers",
  PATH_LENGTH_EXCEEDED: "has a chain that is too long",
  CERT_CHAIN_TOO_LONG: "has a chain that is too long",
  HOSTNAME_MISMATCH: "is for another name",
};

/** A failure to connect to `target`. @param address what was dialled */
export function dialFailure(target: ConnectionTarget, address: string, cause: unknown): UpstreamError {
  const code = codeOf(cause);
  const [kind, text] =
    SOCKET_ERRORS[code] ?? (["unreachable", `cannot be reached: ${shown(code || messageOf(cause))}`] as const);
  const name = address === target.host ? renderTarget(target) : `${renderTarget(target)} (${address})`;
  return new UpstreamError(kind, `${name} ${text}`, { cause });
}

/** A failure of the handshake with a server that should be `target`. */
export function tlsFailure(target: ConnectionTarget, cause: unknown): UpstreamError {
  const code = codeOf(cause);
  const name = renderTarget(target);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new UpstreamError("certificate", `the certificate of ${name} is for ${namesOf(cause)}`, { cause });
  }
  const certificate = CERTIFICATE_ERRORS[code];
  if (certificate !== undefined) {
    return new UpstreamError("certificate", `the certificate of ${name} ${certificate}`, { cause });
  }
  if (/CERT|CRL|ISSUER|CHAIN|PURPOSE/.test(code) && !code.startsWith("ERR_")) {
    return new UpstreamError("certificate", `the certificate of ${name} is not valid: ${code}`, { cause });
  }
  const [kind] = SOCKET_ERRORS[code] ?? [];
  if (kind !== undefined)
    return new UpstreamError(kind, `${name} closed the connection during the TLS handshake`, { cause });
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG") {
    return new UpstreamError("tls", `${name} does not speak TLS`, { cause });
  }
  return new UpstreamError("tls", `the TLS handshake with ${name} failed: ${shown(reasonOf(cause))}`, { cause });
}

/** Printable, and not longer than a line. */
export function shown(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]+/g, "?");
  return printable.length > MAX_SHOWN_CHARS ? `${printable.slice(0, MAX_SHOWN_CHARS)}…` : printable;
}

function namesOf(cause: unknown): string {
  const certificate = cause instanceof Error && "cert" in cause ? (cause.cert as Partial<PeerCertificate>) : {};
  const names = certificate.subjectaltname ?? "";
  return names === "" ? "no name" : shown(names.replaceAll(/(?:DNS|IP Address):/g, ""));
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error && "reason" in cause ? String(cause.reason) : messageOf(cause);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}
