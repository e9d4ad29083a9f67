/** What the guest gets to trust: each certificate as its programs look for it. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { addedRoots, trustedRoot } from "../../../src/egress/guest-trust.ts";
import { createAuthority } from "../../../src/egress/tls/authority.ts";
import { SbxError } from "../../../src/runtime/errors.ts";

/** Debian's own roots: subjects of all ages and spellings. */
const SYSTEM_ROOTS = readFileSync("/etc/ssl/certs/ca-certificates.crt", "utf8");

function opensslHash(pem: string): string {
  return execFileSync("openssl", ["x509", "-noout", "-subject_hash"], { input: pem, encoding: "utf8" }).trim();
}

test("a root's hash is the one that OpenSSL computes, for the sandbox's authority and for all of Debian's", () => {
  const own = trustedRoot("sbx-sandbox", createAuthority().certificatePem);
  const roots = [own, ...addedRoots([SYSTEM_ROOTS])];
  assert.ok(roots.length > 50);
  for (const { pem, hash } of roots) assert.equal(hash, opensslHash(pem), pem);
});

test("subjects in other alphabets, with capitals and spaces in odd places, have OpenSSL's hash too", () => {
  for (const subject of [
    "/CN=  Two   Spaces /O=ACME",
    "/C=DE/O=Ünïcödé GmbH/CN=Wurzel",
    "/CN=根/emailAddress=Root@Example.COM",
  ]) {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"];
    const pem = execFileSync("openssl", ["req", "-x509", "-utf8", ...key, "-subj", subject], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    assert.equal(trustedRoot("sbx-x", pem).hash, opensslHash(pem), subject);
  }
});

test("each certificate is one block of PEM with a name of its own, as the agent takes it, and comes once", () => {
  const roots = addedRoots([SYSTEM_ROOTS, SYSTEM_ROOTS]);
  assert.equal(new Set(roots.map(({ pem }) => pem)).size, roots.length);
  assert.equal(new Set(roots.map(({ name }) => name)).size, roots.length);
  for (const { name, pem } of roots) {
    assert.match(pem, /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n$/);
    assert.match(name, /^sbx-[a-z0-9-]{1,40}$/);
  }
});

test("a certificate that does not parse stops the start", () => {
  const broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  assert.throws(
    () => addedRoots([broken]),
    (error: unknown) => error instanceof SbxError && error.code === "config_invalid",
  );
});
