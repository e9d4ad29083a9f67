/**
 * The certificate authority of one sandbox: made when it is created, known to no other, gone with its supervisor. Its
 * key never leaves this process's memory. What may ask for a leaf is decided by the callers: a host that the policy let
 * through and whose connection has to be read.
 */
import { generateKeyPairSync } from "node:crypto";
import type { SecureContext } from "node:tls";
import { type Issuer, makeAuthorityCertificate, toPem } from "../../pki/certificate.ts";
import { BACKDATED_MS, DAY_MS, LeafContexts, type LeafContextsOptions } from "../../pki/leaf-contexts.ts";

/** Constant, so that an image can hold the hash links of the certificate before there is one. */
export const AUTHORITY_COMMON_NAME = "sbx sandbox CA";

/** Longer than any sandbox's life, shorter than what clients refuse. */
const AUTHORITY_MS = 730 * DAY_MS;

export interface Authority {
  /** For the guest's trust stores. */
  readonly certificatePem: string;
  /**
   * Of a TLS server that is `host`. The same one for the same host, so that clients can resume their sessions.
   *
   * @param host canonical name or address
   */
  contextFor(host: string): SecureContext;
}

export type AuthorityOptions = LeafContextsOptions;

/** Takes 1 ms (4 in a process that has used no cryptography yet). */
export function createAuthority(options: AuthorityOptions = {}): Authority {
  const { now = Date.now } = options;
  const issuer: Issuer = {
    commonName: AUTHORITY_COMMON_NAME,
    ...generateKeyPairSync("ec", { namedCurve: "P-256" }),
  };
  const validity = { notBefore: now() - BACKDATED_MS, notAfter: now() + AUTHORITY_MS };
  const certificatePem = toPem(makeAuthorityCertificate(issuer, validity));
  const contexts = new LeafContexts(issuer, certificatePem, options);
  return { certificatePem, contextFor: (host) => contexts.contextFor(host) };
}
