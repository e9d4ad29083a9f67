/** Secret variables at rest: nothing of them can be read or changed without the key, and the key is made once. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { SealedValues } from "../../../src/store/apps/sealed-values.ts";
import { KeyringError, type Keyring } from "../../../src/store/secrets/keyring.ts";
import { memoryDatabase } from "../../fake-apps.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const NO_KEYRING: Keyring = {
  description: "none",
  store: async () => Promise.reject(new KeyringError("none")),
  lookup: async () => Promise.reject(new KeyringError("none")),
  remove: async () => Promise.reject(new KeyringError("none")),
};

function open(t: TestContext, directory = temporaryDirectory(t), database = memoryDatabase()) {
  let last: Promise<void> = Promise.resolve();
  const lock = async (): Promise<AsyncDisposable> => {
    const before = last;
    const { promise, resolve } = Promise.withResolvers<void>();
    last = promise;
    await before;
    return { [Symbol.asyncDispose]: async () => resolve() };
  };
  return { sealed: new SealedValues({ database, directory, keyring: NO_KEYRING, lock }), directory, database };
}

test("a value comes back whole, and what is stored shows nothing of it, nor the same twice", async (t) => {
  const { sealed, directory } = open(t);
  const seal = await sealed.sealer();
  const [one, two] = [seal("canary-value"), seal("canary-value")];
  assert.notEqual(one, two);
  assert.ok(!Buffer.from(one, "base64").includes("canary"));
  assert.equal(await sealed.open(one), "canary-value");
  assert.equal(await sealed.open(seal("")), "");
  assert.equal(statSync(path.join(directory, "apps.key")).mode & 0o777, 0o600);
});

test("what was changed, or sealed with another key, is an error and no value", async (t) => {
  const { sealed, directory, database } = open(t);
  const one = Buffer.from((await sealed.sealer())("value"), "base64");
  for (const at of [0, 12, one.length - 1]) {
    const changed = Buffer.from(one);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await assert.rejects(sealed.open(changed.toString("base64")), { code: "secrets_broken" });
  }
  await assert.rejects(sealed.open("AAAA"), { code: "secrets_broken" });
  rmSync(path.join(directory, "apps.key"));
  await assert.rejects(sealed.open(one.toString("base64")), { code: "secrets_broken" });
  await assert.rejects(open(t, directory, database).sealed.sealer(), { code: "secrets_broken" });
});

test("those who ask at once make one key", async (t) => {
  const { sealed, directory } = open(t);
  const seals = await Promise.all(Array.from({ length: 5 }, async () => sealed.sealer()));
  const key = readFileSync(path.join(directory, "apps.key"), "utf8");
  for (const seal of seals) assert.equal(await sealed.open(seal("x")), "x");
  await sealed.sealer();
  assert.equal(readFileSync(path.join(directory, "apps.key"), "utf8"), key);
});
