/** What the guest gets to trust the sandbox's authority fits the authority. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { guestTrust, SUBJECT_LINK } from "../../../src/egress/guest-trust.ts";
import { createAuthority } from "../../../src/egress/tls/authority.ts";

test("the link's name is the hash that OpenSSL computes of the authority's subject", () => {
  const { pem, link } = guestTrust(createAuthority());
  const hash = execFileSync("openssl", ["x509", "-noout", "-hash"], { input: pem, encoding: "utf8" }).trim();
  assert.equal(`${hash}.0`, SUBJECT_LINK);
  assert.equal(link, SUBJECT_LINK);
});

test("the certificate is one block of PEM, as the agent takes it", () => {
  const { pem } = guestTrust(createAuthority());
  assert.match(pem, /^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n$/);
});
