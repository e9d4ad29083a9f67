/**
 * The gateway's own certificate authority, for where nobody has given it a certificate: made once, kept beside the
 * server's records, and good for names below one domain alone, so that a program which trusts it trusts it with nothing
 * else.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { writeDurably } from "../../host/durable-file.ts";
import type { GatewayTls } from "../../gateway/gateway.ts";
import { makeAuthorityCertificate, toPem, type Issuer } from "../../pki/certificate.ts";
import { BACKDATED_MS, DAY_MS, LeafContexts } from "../../pki/leaf-contexts.ts";
import { SbxError } from "../../runtime/errors.ts";
import { labelOf } from "./names.ts";

const AUTHORITY_MS = 3650 * DAY_MS;
/** One that ends sooner is made anew at the server's start. */
const RENEWAL_MS = 30 * DAY_MS;
const OPEN_TO_OTHERS = 0o077;
/** Contexts that are kept; a context takes about 30 kB. */
const MAX_CONTEXTS = 1024;
/** Of names that strangers made up, as far as is known; none of them takes the place of another one's. */
const MAX_STRANGE_CONTEXTS = 64;

export interface OwnAuthority {
  tls: GatewayTls;
  /** Of its certificate, for programs to trust. */
  certificatePath: string;
}

/**
 * @param directory of the server's records, which exists
 * @param isEstablished whether there is a name of this label
 * @throws SbxError `config_invalid` where its files are not as they were written
 */
export async function openOwnAuthority(
  directory: string,
  domain: string,
  { now, isEstablished }: { now: () => number; isEstablished: (label: string) => boolean },
): Promise<OwnAuthority> {
  const certificatePath = path.join(directory, `gateway-${domain}.pem`);
  const keyPath = path.join(directory, `gateway-${domain}.key`);
  const commonName = `sbx gateway CA (${domain})`;
  const there = read(certificatePath, keyPath, commonName, now());
  const { issuer, certificatePem } = there ?? (await make(certificatePath, keyPath, commonName, domain, now()));
  const contexts = new LeafContexts(issuer, certificatePem, { maxContexts: MAX_CONTEXTS, now });
  const strange = new LeafContexts(issuer, certificatePem, { maxContexts: MAX_STRANGE_CONTEXTS, now });
  return {
    certificatePath,
    // Programs differ in which wildcards they take (`*.localhost` none does): each name has a certificate of its own, the
    // names that do not exist as well.
    tls: {
      contextFor(name) {
        const label = name === undefined ? undefined : labelOf(name, domain);
        if (name === undefined || label === undefined) return contexts.contextFor(domain);
        return (isEstablished(label) ? contexts : strange).contextFor(name);
      },
    },
  };
}

interface Authority {
  issuer: Issuer;
  certificatePem: string;
}

/** The key goes first: a certificate without it would be trusted for nothing. */
async function make(
  certificatePath: string,
  keyPath: string,
  commonName: string,
  domain: string,
  now: number,
): Promise<Authority> {
  const issuer: Issuer = { commonName, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) };
  const validity = { notBefore: now - BACKDATED_MS, notAfter: now + AUTHORITY_MS };
  const certificatePem = toPem(makeAuthorityCertificate(issuer, validity, domain));
  await writeDurably(keyPath, issuer.privateKey.export({ type: "pkcs8", format: "pem" }), 0o600);
  await writeDurably(certificatePath, certificatePem, 0o644);
  return { issuer, certificatePem };
}

/** Undefined where there is none, or one that is about to end. */
function read(certificatePath: string, keyPath: string, commonName: string, now: number): Authority | undefined {
  let certificatePem: string;
  let keyPem: string;
  try {
    certificatePem = readFileSync(certificatePath, "utf8");
    keyPem = readFileSync(keyPath, "utf8");
    if ((statSync(keyPath).mode & OPEN_TO_OTHERS) !== 0) {
      throw new SbxError("config_invalid", `the key of the gateway's authority, ${keyPath}, can be read by others`, {
        hint: `rm ${keyPath}, and there will be a new authority`,
      });
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const privateKey = createPrivateKey(keyPem);
    const certificate = new X509Certificate(certificatePem);
    if (!certificate.checkPrivateKey(privateKey)) throw new Error("the key is another's");
    if (Date.parse(certificate.validTo) < now + RENEWAL_MS) return undefined;
    return { issuer: { commonName, privateKey, publicKey: createPublicKey(privateKey) }, certificatePem };
  } catch (cause) {
    throw new SbxError("config_invalid", `the gateway's authority in ${certificatePath} is damaged`, {
      cause,
      hint: `rm ${keyPath}, and there will be a new one`,
    });
  }
}
