/**
 * What the guest is told so that its programs trust the sandbox's certificate authority, and the roots that the user
 * added: certificates for the system's stores (the agent puts them there), and variables for programs that have stores
 * of their own.
 */
import { X509Certificate } from "node:crypto";
import type { TrustedRoot } from "../protocol/agent-calls.ts";
import { SbxError } from "../runtime/errors.ts";
import { subjectHash } from "./tls/subject-hash.ts";

/** Debian's bundle, to which the agent adds, and what it added, for programs that want to be told only that. */
const BUNDLE = "/etc/ssl/certs/ca-certificates.crt";
const ADDED = "/usr/local/share/sbx-roots.pem";

/** For programs that do not read the system's stores. Those that replace their roots get all, others what to add. */
export const TRUST_VARIABLES: Readonly<Record<string, string>> = {
  SSL_CERT_FILE: BUNDLE,
  REQUESTS_CA_BUNDLE: BUNDLE,
  CURL_CA_BUNDLE: BUNDLE,
  PIP_CERT: BUNDLE,
  GIT_SSL_CAINFO: BUNDLE,
  CARGO_HTTP_CAINFO: BUNDLE,
  AWS_CA_BUNDLE: BUNDLE,
  NODE_EXTRA_CA_CERTS: ADDED,
  DENO_CERT: ADDED,
};

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** @param name for the file in the guest, such as `sbx-sandbox` */
export function trustedRoot(name: string, pem: string): TrustedRoot {
  const certificate = new X509Certificate(pem);
  return { name, pem: certificate.toString(), hash: subjectHash(certificate) };
}

/**
 * The certificates of the user's PEM files, each once.
 *
 * @throws SbxError `config_invalid` for one that does not parse
 */
export function addedRoots(files: readonly string[]): TrustedRoot[] {
  const blocks = new Set(files.flatMap((text) => text.match(CERTIFICATE) ?? []));
  return [...blocks].map((pem, at) => {
    try {
      return trustedRoot(`sbx-added-${at + 1}`, pem);
    } catch (cause) {
      throw new SbxError("config_invalid", `certificate ${at + 1} of the added roots does not parse`, {
        cause,
        hint: "check it with: openssl x509 -text -noout -in FILE",
      });
    }
  });
}
