/**
 * The certificate authority of one sandbox: made when it is created, known to no other, gone with its supervisor. Its
 * key never leaves this process's memory. What may ask for a leaf is decided by the callers: a host that the policy let
 * through and whose connection has to be read.
 */
import { constants, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from "node:tls";
import { type Issuer, makeAuthorityCertificate, makeLeafCertificate, toPem, type Validity } from "./certificate.ts";

/** Constant, so that an image can hold the hash links of the certificate before there is one. */
export const AUTHORITY_COMMON_NAME = "sbx sandbox CA";

const EC_P256 = { namedCurve: "P-256" };

const DAY_MS = 86_400_000;

/** A guest's clock may be behind: restored from a template, or without one until its first second. */
const BACKDATED_MS = 7 * DAY_MS;
/** Longer than any sandbox's life, shorter than what clients refuse. */
const AUTHORITY_MS = 730 * DAY_MS;
const LEAF_MS = 14 * DAY_MS;
/** A leaf is made anew when this much of its life is over. */
const LEAF_RENEWAL_MS = 7 * DAY_MS;

/**
 * Of a client that begins with AES, as OpenSSL does with 256 bits of it, the guest's cheapest is taken: an emulated one
 * decrypts 1.4 times as much with 128. One that begins with ChaCha20 knows that its machine has no AES.
 */
const CIPHERS = [
  ...["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"],
  ...DEFAULT_CIPHERS.split(":").filter((name) => !name.startsWith("TLS_")),
].join(":");

/** A context takes about 30 kB of native memory. */
const DEFAULT_MAX_CONTEXTS = 256;

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

export interface AuthorityOptions {
  /** Hosts whose contexts are kept. */
  maxContexts?: number;
  /** Epoch `ms`. */
  now?: () => number;
}

/** Takes 1 ms (4 in a process that has used no cryptography yet). */
export function createAuthority({
  maxContexts = DEFAULT_MAX_CONTEXTS,
  now = Date.now,
}: AuthorityOptions = {}): Authority {
  const issuer: Issuer = { commonName: AUTHORITY_COMMON_NAME, ...generateKeyPairSync("ec", EC_P256) };
  return new SandboxAuthority(issuer, maxContexts, now);
}

class SandboxAuthority implements Authority {
  readonly certificatePem: string;
  readonly #issuer: Issuer;
  readonly #maxContexts: number;
  readonly #now: () => number;
  #leafKey: { publicKey: KeyObject; pem: string } | undefined;
  /** In the order of their last use. */
  readonly #contexts = new Map<string, { context: SecureContext; renewAt: number }>();

  constructor(issuer: Issuer, maxContexts: number, now: () => number) {
    this.#issuer = issuer;
    this.#maxContexts = maxContexts;
    this.#now = now;
    this.certificatePem = toPem(makeAuthorityCertificate(issuer, this.#validity(AUTHORITY_MS)));
  }

  contextFor(host: string): SecureContext {
    const known = this.#contexts.get(host);
    this.#contexts.delete(host);
    const entry = known !== undefined && this.#now() < known.renewAt ? known : this.#makeEntry(host);
    this.#contexts.set(host, entry);
    if (this.#contexts.size > this.#maxContexts) {
      for (const oldest of this.#contexts.keys()) {
        this.#contexts.delete(oldest);
        break;
      }
    }
    return entry.context;
  }

  #makeEntry(host: string): { context: SecureContext; renewAt: number } {
    const key = (this.#leafKey ??= makeLeafKey());
    const leaf = makeLeafCertificate(this.#issuer, host, key.publicKey, this.#validity(LEAF_MS));
    const context = createSecureContext({
      key: key.pem,
      cert: toPem(leaf),
      // Without one Node loads the public roots, for which a server has no use.
      ca: this.certificatePem,
      minVersion: "TLSv1.2",
      ciphers: CIPHERS,
      honorCipherOrder: true,
      secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA,
    });
    return { context, renewAt: this.#now() + LEAF_RENEWAL_MS };
  }

  #validity(lengthMs: number): Validity {
    const now = this.#now();
    return { notBefore: now - BACKDATED_MS, notAfter: now + lengthMs };
  }
}

/** One key for all leaves of a sandbox: they live in the same process and end with it. */
function makeLeafKey(): { publicKey: KeyObject; pem: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", EC_P256);
  return { publicKey, pem: privateKey.export({ type: "pkcs8", format: "pem" }) };
}
