/** The gateway's host key: made once, or the operator's, and nothing that others can read. */
import assert from "node:assert/strict";
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { makeOpensshKey } from "../../../src/host/openssh-key.ts";
import { openHostKey } from "../../../src/server/ssh/host-key.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("a key is made once, for its owner alone, also by servers that start at once", async (t) => {
  const directory = temporaryDirectory(t);
  const keys = await Promise.all([0, 1, 2, 3].map(async () => openHostKey(directory, null)));
  const again = await openHostKey(directory, null);
  for (const { publicKey } of keys) assert.equal(publicKey, again.publicKey);
  assert.deepEqual(readdirSync(directory), ["ssh_host_ed25519_key"]);
  const file = path.join(directory, "ssh_host_ed25519_key");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(readFileSync(file, "utf8"), again.privateKey);
});

test("an operator's key is taken if nobody else can read it and it is one", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "key");
  const own = makeOpensshKey("operator");
  writeFileSync(file, own.privateKey, { mode: 0o600 });
  assert.equal((await openHostKey(directory, file)).publicKey, own.publicKey);
  chmodSync(file, 0o640);
  await assert.rejects(openHostKey(directory, file), { code: "config_invalid", message: /can be read by others/ });
  for (const content of ["", "no key", own.publicKey]) {
    writeFileSync(file, content);
    chmodSync(file, 0o600);
    await assert.rejects(openHostKey(directory, file), { code: "config_invalid", message: /no ed25519 key/ });
  }
  await assert.rejects(openHostKey(directory, path.join(directory, "missing")), { code: "config_invalid" });
  assert.deepEqual(readdirSync(directory), ["key"]);
});

test("a key of the server's own that is damaged is not quietly another one", async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(path.join(directory, "ssh_host_ed25519_key"), "damaged", { mode: 0o600 });
  await assert.rejects(openHostKey(directory, null), { code: "config_invalid", message: /no ed25519 key/ });
});
