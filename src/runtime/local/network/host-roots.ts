/**
 * Certificate authorities that somebody added to this machine, such as a company's: its programs trust them, so what sbx
 * connects to on a guest's behalf may show certificates of theirs, and so may servers that a guest speaks to end to end.
 * The distribution's own roots are not among them: Node and the guest have theirs.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { rootCertificates } from "node:tls";

/** The bundles of Debian and of Red Hat. */
const BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];
/** Variables by which a user adds roots for programs; files that are not there are those programs' affair. */
const VARIABLES = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];
/** What the distribution's package brings, one file a root. */
const DISTRIBUTED = "/usr/share/ca-certificates";
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g;

/** PEM blocks, each once. Takes some ms; never throws. */
export function hostRoots(environment: Readonly<Record<string, string | undefined>>): string[] {
  const named = VARIABLES.flatMap((name) => environment[name] ?? []);
  const files = new Set([...named, ...BUNDLES]);
  const found = new Map([...files].flatMap((file) => certificatesIn(file)));
  if (found.size === 0) return [];
  for (const pem of rootCertificates) forget(found, pem);
  for (const file of distributedFiles()) for (const [key] of certificatesIn(file)) found.delete(key);
  return [...found.values()];
}

/** Certificates by their content, without regard to how lines were broken. */
function certificatesIn(file: string): [key: string, pem: string][] {
  return [...read(file).matchAll(CERTIFICATE)].map(([pem, body = ""]) => [body.replaceAll(/\s/g, ""), `${pem}\n`]);
}

function forget(found: Map<string, string>, pem: string): void {
  for (const [, body = ""] of pem.matchAll(CERTIFICATE)) found.delete(body.replaceAll(/\s/g, ""));
}

function read(file: string): string {
  try {
    const text = readFileSync(file, "latin1");
    return text.length <= MAX_FILE_BYTES ? text : "";
  } catch {
    return ""; // Another distribution's, or the user's variable is out of date.
  }
}

function distributedFiles(): string[] {
  try {
    const names = readdirSync(DISTRIBUTED, { recursive: true, encoding: "utf8" });
    return names.filter((name) => name.endsWith(".crt")).map((name) => path.join(DISTRIBUTED, name));
  } catch {
    return []; // Not Debian's way.
  }
}
