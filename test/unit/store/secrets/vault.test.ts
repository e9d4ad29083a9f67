/** Secrets at rest: encrypted, closed to others, bound to their hosts, and never lost to a fault that can be mended. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { SbxError } from "../../../../src/runtime/errors.ts";
import type { SecretSource } from "../../../../src/runtime/types.ts";
import { openDatabase } from "../../../../src/store/database.ts";
import { acquireLock } from "../../../../src/store/locks.ts";
import { systemKeyring } from "../../../../src/store/secrets/keyring.ts";
import { SecretVault } from "../../../../src/store/secrets/vault.ts";
import { temporaryDirectory } from "../temporary-directory.ts";
import { FakeSecretTool, type ToolMode } from "./fake-secret-tool.ts";

const HOSTS = [{ host: "api.example.com", port: null, scheme: "https" as const }];
const VALUE = "canary-8c1f04d2";

interface Fixture {
  directory: string;
  vault: SecretVault;
  tool: FakeSecretTool;
  put: (name: string, source?: SecretSource) => Promise<unknown>;
  vaultText: () => string;
}

function open(t: TestContext, mode: ToolMode = "no-session"): Fixture {
  const directory = temporaryDirectory(t);
  const tool = new FakeSecretTool(temporaryDirectory(t), mode);
  let now = 1000;
  const vault = new SecretVault({
    directory,
    keyring: systemKeyring({ environment: tool.environment, probeTimeoutMs: 5000 }),
    lock: async () => ({ [Symbol.asyncDispose]: async () => undefined }),
    now: () => now++,
  });
  return {
    directory,
    vault,
    tool,
    put: async (name, source = { kind: "value", value: VALUE }) => vault.put({ name, hosts: HOSTS, source }),
    vaultText: () => readFileSync(path.join(directory, "secrets.json"), "utf8"),
  };
}

/** Changes the one entry of the vault by hand. */
function tamper({ directory, vaultText }: Fixture, change: (entry: Record<string, unknown>) => void): void {
  const content = JSON.parse(vaultText()) as { secrets: Record<string, unknown>[] };
  change(content.secrets[0] ?? {});
  writeFileSync(path.join(directory, "secrets.json"), JSON.stringify(content));
}

test("what is stored is found again, whatever its source is", async (t) => {
  const { vault, put } = open(t);
  const sources: SecretSource[] = [
    { kind: "value", value: "two\nlines and ümlauts" },
    { kind: "env", variable: "A_KEY" },
    { kind: "command", command: "pass show 'a b'" },
    { kind: "file", path: "/run/key" },
  ];
  for (const [index, source] of sources.entries()) await put(`S${index}`, source);
  assert.deepEqual([...(await vault.open(["S0", "S1", "S2", "S3", "S4"])).values()], sources);
  assert.deepEqual(
    (await vault.list()).map(({ name, kind, hosts, createdAt }) => ({ name, kind, hosts, createdAt })),
    sources.map(({ kind }, index) => ({ name: `S${index}`, kind, hosts: HOSTS, createdAt: 1000 + index })),
  );
});

test("nothing of a value or of where it comes from can be read in any file", async (t) => {
  const { directory, put } = open(t);
  await put("A");
  await put("B", { kind: "command", command: `echo ${VALUE}` });
  const files = readdirSync(directory);
  assert.deepEqual(files.sort(), ["secrets.json", "secrets.key"]);
  for (const name of files) {
    const file = path.join(directory, name);
    const text = readFileSync(file, "latin1");
    assert.ok(!text.includes(VALUE), name);
    assert.ok(!text.includes(Buffer.from(VALUE).toString("base64").slice(0, 16)), name);
    assert.equal(statSync(file).mode & 0o777, 0o600, name);
  }
});

test("the same value stored twice does not look the same", async (t) => {
  const { put, vaultText } = open(t);
  await put("A");
  await put("B");
  const { secrets } = JSON.parse(vaultText()) as { secrets: { sealed: string }[] };
  assert.notEqual(secrets[0]?.sealed, secrets[1]?.sealed);
});

test("storing again replaces the value and the time of change, not that of creation", async (t) => {
  const { vault, put } = open(t);
  await put("A");
  await put("A", { kind: "value", value: "new" });
  const [{ createdAt, updatedAt } = { createdAt: 0, updatedAt: 0 }, ...others] = await vault.list();
  assert.deepEqual([createdAt, updatedAt, others], [1000, 1001, []]);
  assert.deepEqual((await vault.open(["A"])).get("A"), { kind: "value", value: "new" });
});

test("with a keyring the key is there and in no file", async (t) => {
  const { directory, vault, tool, put } = open(t, "works");
  await put("A");
  await put("B");
  assert.equal(tool.kept.size, 1);
  assert.deepEqual(readdirSync(directory), ["secrets.json"]);
  const place = { kind: "keyring", description: "the system keyring (secret-tool)", problem: null };
  assert.deepEqual(await vault.keyPlace(), place);
  assert.deepEqual((await vault.open(["A"])).get("A"), { kind: "value", value: VALUE });
});

test("without a keyring the key is in a file, and stays there when a keyring appears", async (t) => {
  const { directory, vault, tool, put } = open(t);
  await put("A");
  tool.mode = "works";
  await put("B");
  assert.equal(tool.kept.size, 0);
  const place = { kind: "file", description: path.join(directory, "secrets.key"), problem: null };
  assert.deepEqual(await vault.keyPlace(), place);
});

test("a keyring that cannot be reached is an error that loses nothing", async (t) => {
  const fixture = open(t, "works");
  const { vault, tool, put, vaultText } = fixture;
  await put("A");
  const before = vaultText();
  tool.mode = "no-session";
  const broken = { code: "secrets_broken", message: /is in the system keyring, which cannot be reached$/ };
  await assert.rejects(vault.open(["A"]), broken);
  await assert.rejects(put("B"), broken);
  assert.equal(vaultText(), before);
  assert.equal((await vault.list()).length, 1);
  assert.match((await vault.keyPlace())?.problem ?? "", /cannot be reached: Cannot autolaunch D-Bus/);
  tool.mode = "works";
  assert.equal((await vault.open(["A"])).size, 1);
});

test("a key that is gone or another one is told apart from a damaged secret", async (t) => {
  const { directory, vault, put } = open(t);
  await put("A");
  const keyFile = path.join(directory, "secrets.key");
  writeFileSync(keyFile, `${"0".repeat(64)}\n`);
  await assert.rejects(vault.open(["A"]), { code: "secrets_broken", message: /holds another key/ });
  rmSync(keyFile);
  await assert.rejects(vault.open(["A"]), { code: "secrets_broken", message: /secrets.key, cannot be read$/ });
});

test("an entry whose name, hosts, kind or bytes were changed does not open", async (t) => {
  const changes: ((entry: Record<string, unknown>) => void)[] = [
    (entry) => (entry.name = "B"),
    (entry) => (entry.hosts = [{ host: "evil.example", port: null, scheme: "https" }]),
    (entry) => (entry.hosts = [{ host: "api.example.com", port: null, scheme: "http" }]),
    (entry) => (entry.kind = "file"),
    (entry) => (entry.sealed = Buffer.from(String(entry.sealed), "base64").fill(0, 0, 1).toString("base64")),
    (entry) => (entry.sealed = "AAAA"),
    (entry) => (entry.nonce = ""),
  ];
  for (const change of changes) {
    const fixture = open(t);
    await fixture.put("A");
    tamper(fixture, change);
    await assert.rejects(fixture.vault.open(["A", "B"]), {
      code: "secrets_broken",
      message: /was damaged or changed$/,
    });
  }
});

test("a damaged file is an error that says how to go on, and is never overwritten", async (t) => {
  for (const text of ["", "{", "[]", `{"version":1,"key":null}`, `{"version":1,"key":null,"secrets":[{"name":"A"}]}`]) {
    const { directory, vault, put, vaultText } = open(t);
    const file = path.join(directory, "secrets.json");
    writeFileSync(file, text);
    const hint = `bring it back from a copy, or begin anew: mv ${file} ${file}.damaged`;
    await assert.rejects(vault.list(), { code: "secrets_broken", hint });
    await assert.rejects(put("A"), { code: "secrets_broken", hint });
    await assert.rejects(vault.remove("A"), { code: "secrets_broken", hint });
    assert.equal(vaultText(), text);
  }
});

test("a file of a later version is refused", async (t) => {
  const { directory, vault } = open(t);
  writeFileSync(path.join(directory, "secrets.json"), `{"version":2,"whatever":true}`);
  await assert.rejects(vault.list(), { code: "state_newer" });
});

test("a file that is too large is not read", async (t) => {
  const { directory, vault } = open(t);
  writeFileSync(path.join(directory, "secrets.json"), Buffer.alloc(32 * 1024 ** 2 + 1, " "));
  await assert.rejects(vault.list(), (error) => {
    assert.ok(error instanceof SbxError && error.cause instanceof Error);
    assert.match(error.cause.message, /more than \d+ bytes/);
    return true;
  });
});

test("removing needs no key, and the last secret takes the key with it", async (t) => {
  for (const mode of ["works", "no-session"] as const) {
    const { directory, vault, tool, put } = open(t, mode);
    await put("A");
    await put("B");
    assert.equal((await vault.remove("A"))?.name, "A");
    assert.equal(await vault.remove("A"), undefined);
    assert.equal((await vault.open(["B"])).size, 1);
    rmSync(path.join(directory, "secrets.key"), { force: true });
    assert.equal((await vault.remove("B"))?.name, "B");
    assert.equal(tool.kept.size, 0);
    assert.equal(await vault.keyPlace(), null);
    await put("C");
    assert.equal((await vault.open(["C"])).size, 1);
  }
});

test("there is room for 200 secrets", async (t) => {
  const { directory, vault, put, vaultText } = open(t);
  await put("A");
  const content = JSON.parse(vaultText()) as { secrets: Record<string, unknown>[] };
  const [first = {}] = content.secrets;
  content.secrets.push(...Array.from({ length: 199 }, (_, index) => ({ ...first, name: `S${index}` })));
  writeFileSync(path.join(directory, "secrets.json"), JSON.stringify(content));
  await assert.rejects(put("B"), { code: "usage", message: "there is room for 200 stored secrets" });
  await put("A", { kind: "value", value: "replaced" });
  assert.equal((await vault.list()).length, 200);
});

test("two processes that store at once lose nothing", async (t) => {
  const directory = temporaryDirectory(t);
  const script = path.join(import.meta.dirname, "store-many.ts");
  openDatabase(path.join(directory, "sbx.db")).close();
  const writers = ["A", "B", "C"].map((prefix) => fork(script, [directory, prefix], { silent: true }));
  const statuses = await Promise.all(writers.map(async (child) => ((await once(child, "exit")) as [number])[0]));
  assert.deepEqual(statuses, [0, 0, 0]);
  const database = openDatabase(path.join(directory, "sbx.db"));
  const vault = new SecretVault({
    directory,
    keyring: systemKeyring({ environment: { PATH: "/nowhere" } }),
    lock: async () => acquireLock(database, "secrets"),
  });
  const names = (await vault.list()).map(({ name }) => name);
  assert.deepEqual(
    names,
    ["A", "B", "C"].flatMap((prefix) => [0, 1, 2, 3, 4].map((index) => `${prefix}${index}`)),
  );
  assert.equal((await vault.open(names)).size, 15);
  database.close();
});
