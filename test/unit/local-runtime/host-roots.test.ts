/** Which certificate authorities somebody added to this machine. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { rootCertificates } from "node:tls";
import { hostRoots } from "../../../src/runtime/local/network/host-roots.ts";
import { createAuthority } from "../../../src/egress/tls/authority.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("a root in the user's own file is found once, those of Node and the distribution are not", (t) => {
  const file = path.join(temporaryDirectory(t), "roots.pem");
  const own = createAuthority().certificatePem;
  writeFileSync(file, [own, ...rootCertificates.slice(0, 3), own].join("\n"));
  const found = hostRoots({ SSL_CERT_FILE: file, NODE_EXTRA_CA_CERTS: file });
  const before = hostRoots({});
  assert.deepEqual(found, [own, ...before]);
});

test("files that are not there, or are no certificates, are nobody's fault", (t) => {
  const file = path.join(temporaryDirectory(t), "roots.pem");
  writeFileSync(file, "-----BEGIN CERTIFICATE-----\nnot a certificate\n-----END CERTIFICATE-----\n");
  const missing = path.join(temporaryDirectory(t), "nothing");
  const roots = hostRoots({ SSL_CERT_FILE: file, NODE_EXTRA_CA_CERTS: missing });
  assert.deepEqual(roots.slice(1), hostRoots({}).slice(roots.length > hostRoots({}).length ? 0 : 1));
});
