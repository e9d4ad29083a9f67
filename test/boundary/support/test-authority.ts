/** A certificate authority of the test's own: what the internet's are to a user. sbx gets it as `--ca-file`. */
import { generateKeyPairSync } from "node:crypto";
import { makeAuthorityCertificate, makeLeafCertificate, toPem, type Validity } from "../../../src/pki/certificate.ts";

const EC_P256 = { namedCurve: "P-256" };
const DAY_MS = 86_400_000;

export interface ServerIdentity {
  key: string;
  cert: string;
}

export class TestAuthority {
  readonly pem: string;
  readonly #issuer;

  constructor(commonName = "Test Root of the Closed Network") {
    this.#issuer = { commonName, ...generateKeyPairSync("ec", EC_P256) };
    this.pem = toPem(makeAuthorityCertificate(this.#issuer, aroundNow()));
  }

  /** A server's key and certificate. */
  identity(host: string, validity: Validity = aroundNow()): ServerIdentity {
    const { publicKey, privateKey } = generateKeyPairSync("ec", EC_P256);
    return {
      key: privateKey.export({ type: "pkcs8", format: "pem" }),
      cert: toPem(makeLeafCertificate(this.#issuer, host, publicKey, validity)),
    };
  }
}

function aroundNow(): Validity {
  return { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + 30 * DAY_MS };
}
