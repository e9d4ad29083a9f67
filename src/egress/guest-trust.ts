/**
 * What the guest is told so that its programs trust the sandbox's certificate authority: the certificate for the
 * system's stores (the agent puts it there), and variables for programs that have stores of their own.
 */
import type { Authority } from "./tls/authority.ts";

/**
 * Under which name OpenSSL looks for the authority's subject (AUTHORITY_COMMON_NAME): the first four bytes of the SHA-1
 * of its canonical form, least significant first (X509_NAME_hash in crypto/x509/x509_cmp.c), and a number.
 */
export const SUBJECT_LINK = "a6ab82f0.0";

/** Debian's bundle, to which the agent adds, and the authority alone, for programs that want what is to be added. */
const BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const AUTHORITY_FILE = "/usr/local/share/ca-certificates/sbx-sandbox.crt";

/** The call `trust` of the agent. */
export interface GuestTrust {
  pem: string;
  link: string;
}

export function guestTrust(authority: Authority): GuestTrust {
  return { pem: authority.certificatePem, link: SUBJECT_LINK };
}

/** For programs that do not read the system's stores. Those that replace their roots get all, others what to add. */
export const TRUST_VARIABLES: Readonly<Record<string, string>> = {
  SSL_CERT_FILE: BUNDLE,
  REQUESTS_CA_BUNDLE: BUNDLE,
  CURL_CA_BUNDLE: BUNDLE,
  PIP_CERT: BUNDLE,
  GIT_SSL_CAINFO: BUNDLE,
  CARGO_HTTP_CAINFO: BUNDLE,
  AWS_CA_BUNDLE: BUNDLE,
  NODE_EXTRA_CA_CERTS: AUTHORITY_FILE,
  DENO_CERT: AUTHORITY_FILE,
};
