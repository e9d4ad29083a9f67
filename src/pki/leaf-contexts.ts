/** Certificates for hosts, made by an authority when they are first asked for, and the contexts of TLS with them. */
import { constants, generateKeyPairSync, type KeyObject } from "node:crypto";
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from "node:tls";
import { type Issuer, makeLeafCertificate, toPem } from "./certificate.ts";

export const DAY_MS = 86_400_000;
/** A client's clock may be behind: a guest's that was restored from a template, say, in its first second. */
export const BACKDATED_MS = 7 * DAY_MS;
const LEAF_MS = 14 * DAY_MS;
/** A leaf is made anew when this much of its life is over. */
const LEAF_RENEWAL_MS = 7 * DAY_MS;

/**
 * Of a client that begins with AES, as OpenSSL does with 256 bits of it, an emulated guest's cheapest is taken: it
 * decrypts 1.4 times as much with 128. One that begins with ChaCha20 knows that its machine has no AES.
 */
const CIPHERS = [
  ...["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"],
  ...DEFAULT_CIPHERS.split(":").filter((name) => !name.startsWith("TLS_")),
].join(":");

/** A context takes about 30 kB of native memory. */
const DEFAULT_MAX_CONTEXTS = 256;

export interface LeafContextsOptions {
  /** Hosts whose contexts are kept. */
  maxContexts?: number;
  /** Epoch `ms`. */
  now?: () => number;
}

export class LeafContexts {
  readonly #issuer: Issuer;
  readonly #certificatePem: string;
  readonly #maxContexts: number;
  readonly #now: () => number;
  #leafKey: { publicKey: KeyObject; pem: string } | undefined;
  /** In the order of their last use. */
  readonly #contexts = new Map<string, { context: SecureContext; renewAt: number }>();

  /** @param certificatePem the authority's own */
  constructor(
    issuer: Issuer,
    certificatePem: string,
    { maxContexts = DEFAULT_MAX_CONTEXTS, now = Date.now }: LeafContextsOptions = {},
  ) {
    this.#issuer = issuer;
    this.#certificatePem = certificatePem;
    this.#maxContexts = maxContexts;
    this.#now = now;
  }

  /** @param host canonical name or address */
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
    const now = this.#now();
    const key = (this.#leafKey ??= makeLeafKey());
    const validity = { notBefore: now - BACKDATED_MS, notAfter: now + LEAF_MS };
    const context = createSecureContext({
      key: key.pem,
      cert: toPem(makeLeafCertificate(this.#issuer, host, key.publicKey, validity)),
      // Without one Node loads the public roots, for which a server has no use.
      ca: this.#certificatePem,
      minVersion: "TLSv1.2",
      ciphers: CIPHERS,
      honorCipherOrder: true,
      secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA,
    });
    return { context, renewAt: now + LEAF_RENEWAL_MS };
  }
}

/** One key for all leaves of an authority: they live in the same process and end with it. */
function makeLeafKey(): { publicKey: KeyObject; pem: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { publicKey, pem: privateKey.export({ type: "pkcs8", format: "pem" }) };
}
