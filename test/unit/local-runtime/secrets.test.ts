/** Where values come from, which hosts they go to, and who is told of new ones. Values never appear in errors. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { parseSecretHost } from "../../../src/policy/secret-host.ts";
import type { RuleSpec, SecretHost } from "../../../src/policy/spec.ts";
import { secretsCall } from "../../../src/protocol/net-calls.ts";
import { checkSecrets } from "../../../src/runtime/local/checks/secrets-check.ts";
import { prepareNetwork, withPreset } from "../../../src/runtime/local/network/network-launch.ts";
import { LocalSecrets, openVault } from "../../../src/runtime/local/secrets/local-secrets.ts";
import { coversHost } from "../../../src/runtime/local/secrets/secret-hosts.ts";
import { readSecretSource } from "../../../src/runtime/local/secrets/secret-sources.ts";
import type { NetworkSpec, SecretSource } from "../../../src/runtime/types.ts";
import { openState, type LocalState } from "../../../src/runtime/local/state.ts";
import { networkView } from "../../fake-runtime.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { openFakeDoor, type FakeDoor } from "./fake-door.ts";

const CANARY = "canary-51f2";

interface Fixture {
  state: LocalState;
  secrets: LocalSecrets;
  vault: ReturnType<typeof openVault>;
}

async function open(t: TestContext): Promise<Fixture> {
  const state = await openState({ SBX_HOME: path.join(temporaryDirectory(t), "home") });
  t.after(() => state[Symbol.dispose]());
  const vault = openVault(state);
  return { state, vault, secrets: new LocalSecrets(state, vault) };
}

const hosts = (...texts: string[]): SecretHost[] => texts.map(parseSecretHost);
const value = (text: string): SecretSource => ({ kind: "value", value: text });

/** This machine's are none of a test's business. */
const NO_ROOTS = (): string[] => [];

function network(overrides: Partial<NetworkSpec> = {}): NetworkSpec {
  return {
    policy: { mode: "none", rules: [], expressions: [] },
    ...{ secrets: [], onLeak: "block", inspect: false, hookPath: null, resolve: [], extraRootsPem: [] },
    ...overrides,
  };
}

/** A sandbox that runs, with a door of its own that has been given these secrets. */
async function addSandbox(
  t: TestContext,
  state: LocalState,
  name: string,
  granted: { name: string; hosts: SecretHost[] }[],
): Promise<FakeDoor> {
  const door = await openFakeDoor(t);
  const directory = path.join(state.paths.sandboxesPath, name);
  mkdirSync(directory);
  const id = `sbx_loc_${name}`;
  state.store.insert({ ...sampleSandbox(), id, name, directory, socket: door.socketPath, creator: ownIdentity() });
  state.store.transition(id, "running", { supervisor: ownIdentity() });
  const secrets = granted.map((grant) => ({ ...grant, placeholder: "p", hasValue: true }));
  door.answers.set("GET /sbx/v1/net", () => ({ body: networkView({ secrets }) }));
  door.answers.set("PUT /sbx/v1/secrets", () => ({ body: { set: [], missing: [] } }));
  return door;
}

test("a value is read from each kind of source, without one line break at its end", async (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, "key");
  const reading = { environment: { A_KEY: "from env", PATH: process.env.PATH } };
  const read = async (source: SecretSource): Promise<string> => readSecretSource("A", source, reading);
  assert.equal(await read(value(" as it is ")), " as it is ");
  assert.equal(await read({ kind: "env", variable: "A_KEY" }), "from env");
  for (const [text, expected] of [
    ["a-key", "a-key"],
    ["a-key\n", "a-key"],
    ["a-key\r\n", "a-key"],
    ["\ufeffa-key", "\ufeffa-key"],
  ] as const) {
    writeFileSync(file, text);
    assert.equal(await read({ kind: "file", path: file }), expected);
    assert.equal(await read({ kind: "command", command: `cat '${file}'` }), expected);
  }
});

test("a command sees the caller's environment and nothing else's", async () => {
  const source: SecretSource = { kind: "command", command: `printf %s "$ONLY$HOME"` };
  assert.equal(await readSecretSource("A", source, { environment: { ONLY: "this", PATH: "/usr/bin:/bin" } }), "this");
});

test("what cannot be a value is an error that says why and shows nothing of it", async (t) => {
  const file = path.join(temporaryDirectory(t), "key");
  const environment = { PATH: process.env.PATH, EMPTY: "", SHORT: "abc" };
  const cases: [SecretSource, RegExp][] = [
    [{ kind: "env", variable: "UNSET" }, /: the variable UNSET is not set$/],
    [{ kind: "env", variable: "EMPTY" }, /: the variable EMPTY is empty$/],
    [{ kind: "env", variable: "SHORT" }, /: the variable SHORT has fewer than 4 bytes/],
    [{ kind: "command", command: `echo ${CANARY}; echo` }, /: the command's output has a line break/],
    [{ kind: "file", path: `${file}.gone` }, /: .*key\.gone cannot be read$/],
    [{ kind: "command", command: `echo ${CANARY}; exit 3` }, /: its command ended with status 3$/],
    [{ kind: "command", command: "true" }, /: the command's output is empty$/],
    [{ kind: "command", command: `printf '${CANARY}\\377'` }, /: the command's output is not text in UTF-8$/],
    [
      { kind: "command", command: `printf '${CANARY}\\000x'` },
      /: the command's output has a line break or another control character/,
    ],
    [{ kind: "command", command: `yes ${CANARY}` }, /: the command's output is longer than 16 KiB$/],
    [{ kind: "command", command: "kill -9 $$" }, /: its command was ended by SIGKILL$/],
    [value("x".repeat(16_385)), /: its stored value is longer than 16 KiB$/],
  ];
  for (const [source, message] of cases) {
    await assert.rejects(readSecretSource("A", source, { environment }), (error: Error) => {
      assert.match(error.message, message);
      assert.ok(
        !JSON.stringify([error.message, error.cause, error.stack]).includes(CANARY) || source.kind !== "command",
      );
      assert.ok(!error.message.includes(CANARY));
      return true;
    });
  }
  writeFileSync(file, "x".repeat(16_384));
  assert.equal((await readSecretSource("A", { kind: "file", path: file }, { environment })).length, 16_384);
});

test("a command that never ends is given up, although what it started holds its output open", async () => {
  const source: SecretSource = { kind: "command", command: "sleep 5 & wait" };
  const environment = { PATH: process.env.PATH };
  await assert.rejects(readSecretSource("A", source, { environment, commandTimeoutMs: 100 }), {
    code: "secret_unreadable",
    message: "the secret A cannot be read: its command took longer than 0.1 s",
  });
  await assert.rejects(readSecretSource("A", source, { environment, signal: AbortSignal.timeout(50) }), {
    code: "timeout",
  });
});

test("a stored secret is for its own hosts only", () => {
  const table: [stored: string, wanted: string, covered: boolean][] = [
    ["api.example.com", "api.example.com", true],
    ["api.example.com", "api.example.com:443", true],
    ["api.example.com:443", "api.example.com", false],
    ["api.example.com", "http://api.example.com", false],
    ["api.example.com", "other.example.com", false],
    ["*.example.com", "api.example.com", true],
    ["*.example.com", "a.b.example.com", true],
    ["*.example.com", "*.b.example.com", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", "badexample.com", false],
    ["api.example.com", "*.example.com", false],
    ["*.b.example.com", "*.example.com", false],
  ];
  for (const [stored, wanted, covered] of table) {
    assert.equal(coversHost(hosts(stored), parseSecretHost(wanted)), covered, `${stored} ${wanted}`);
  }
});

test("a sandbox gets the stored value before the caller's variable, and says what it waits for", async (t) => {
  const { secrets, vault } = await open(t);
  await secrets.set({ name: "A", hosts: hosts("api.example.com"), source: value("stored") });
  const spec = network({
    secrets: [
      { name: "A", hosts: null },
      { name: "B", hosts: hosts("b.example") },
    ],
  });
  const environment = { A: "of the caller", B: "b-value" };
  const { egress, settings } = await prepareNetwork(vault, spec, { environment }, NO_ROOTS);
  assert.deepEqual(egress.secrets, [
    { name: "A", hosts: hosts("api.example.com") },
    { name: "B", hosts: hosts("b.example") },
  ]);
  assert.equal(egress.awaitsSettings, true);
  assert.ok(!JSON.stringify(egress).includes("stored"));
  const call = secretsCall().parse(JSON.parse(settings ?? ""));
  assert.deepEqual(call, { values: { A: "stored", B: "b-value" }, proxy: null, extraRootsPem: [] });
});

test("proxies and roots travel with the values, never in the launch", async (t) => {
  const { vault } = await open(t);
  const environment = { https_proxy: "http://user:pass@proxy.example:3128", NO_PROXY: "a.example, .b.example" };
  const { egress, settings } = await prepareNetwork(vault, network({ extraRootsPem: ["PEM"] }), { environment }, () => [
    "HOST",
  ]);
  assert.ok(!JSON.stringify(egress).includes("pass"));
  assert.deepEqual(secretsCall().parse(JSON.parse(settings ?? "")), {
    values: {},
    proxy: { http: null, https: "http://user:pass@proxy.example:3128/", noProxy: ["a.example", ".b.example"] },
    extraRootsPem: ["PEM", "HOST"],
  });
});

test("a sandbox that reaches nothing is told of proxies and roots, but does not wait for them", async (t) => {
  const { vault } = await open(t);
  const roots = (): string[] => ["HOST"];
  const closed = await prepareNetwork(vault, network(), {}, roots);
  assert.equal(closed.egress.awaitsSettings, false);
  assert.deepEqual(secretsCall().parse(JSON.parse(closed.settings ?? "")).extraRootsPem, ["HOST"]);
  const open_ = await prepareNetwork(
    vault,
    network({ policy: { mode: "open", rules: [], expressions: [] } }),
    {},
    roots,
  );
  assert.equal(open_.egress.awaitsSettings, true);
});

test("a sandbox without network, secrets and proxies waits for nothing", async (t) => {
  const { vault } = await open(t);
  const { egress, settings } = await prepareNetwork(vault, undefined, {}, NO_ROOTS);
  assert.equal(settings, null);
  assert.equal(egress.awaitsSettings, false);
  assert.deepEqual(egress.policy, { mode: "none", rules: [], expressions: [] });
});

test("a secret that is nowhere, or not for that host, stops the creation with the command that helps", async (t) => {
  const { secrets, vault } = await open(t);
  await secrets.set({ name: "A", hosts: hosts("api.example.com", "http://x.test:80"), source: value("some-value") });
  const prepare = async (name: string, texts: string[] | null): Promise<unknown> =>
    prepareNetwork(vault, network({ secrets: [{ name, hosts: texts === null ? null : hosts(...texts) }] }), {});
  await assert.rejects(prepare("NOWHERE", ["api.example.com:443"]), {
    code: "secret_not_found",
    message: "there is no secret NOWHERE: it is neither stored nor set here",
    hint: "sbx secret set NOWHERE --host api.example.com:443",
  });
  await assert.rejects(prepare("NOWHERE", null), {
    message: "there is no secret NOWHERE: none of this name is stored",
    hint: "sbx secret set NOWHERE --host HOST",
  });
  await assert.rejects(prepare("A", ["evil.example"]), {
    code: "usage",
    message: "the secret A is stored for api.example.com, http://x.test:80, not for evil.example",
    hint: "sbx secret set A --host 'api.example.com' --host 'http://x.test:80' --host 'evil.example'",
  });
});

test("more than a supervisor takes is refused before anything starts", async (t) => {
  const { vault } = await open(t);
  const spec = network({ extraRootsPem: ["x".repeat(1024 * 1024)] });
  await assert.rejects(prepareNetwork(vault, spec, {}), { code: "usage", message: /more than 1 MiB together$/ });
});

test("the preset's rules come last, with the hosts of the image's own package managers", () => {
  const registries = [{ tool: "pip", host: "packages.example" }];
  const rule: RuleSpec = {
    ...{ id: "r1", verdict: "deny", host: "api.github.com", ports: null, methods: null, paths: null },
    source: { kind: "option", option: "--deny-net" },
  };
  const { rules } = withPreset({ mode: "balanced", rules: [rule], expressions: [] }, registries);
  assert.deepEqual(rules[0], rule);
  assert.equal(rules.at(-1)?.host, "packages.example");
  assert.ok(rules.slice(1).every(({ source }) => source.kind === "preset"));
  assert.equal(new Set(rules.map(({ id }) => id)).size, rules.length);
  assert.deepEqual(withPreset({ mode: "none", rules: [rule], expressions: [] }, registries).rules, [rule]);
});

test("the list says where values come from, and removal forgets them", async (t) => {
  const { secrets } = await open(t);
  assert.deepEqual(await secrets.list(), { secrets: [], key: null });
  await secrets.set({ name: "B", hosts: hosts("b.example"), source: { kind: "command", command: "pass b" } });
  await secrets.set({ name: "A", hosts: hosts("a.example"), source: value("some-value") });
  const list = await secrets.list();
  assert.deepEqual(
    list.secrets.map(({ name, source, detail }) => [name, source, detail]),
    [
      ["A", "value", null],
      ["B", "command", "pass b"],
    ],
  );
  assert.equal(list.key?.problem, null);
  assert.equal((await secrets.remove("A")).name, "A");
  await assert.rejects(secrets.remove("A"), { code: "secret_not_found", hint: "sbx secret list" });
  assert.deepEqual(await secrets.names(), [{ name: "B", hosts: hosts("b.example") }]);
});

test("a rotated value reaches exactly the running sandboxes that use it", async (t) => {
  const { state, secrets, vault } = await open(t);
  await secrets.set({ name: "A", hosts: hosts("a.example"), source: value("old-value") });
  const user = await addSandbox(t, state, "user", [{ name: "A", hosts: hosts("a.example:443") }]);
  const other = await addSandbox(t, state, "other", [{ name: "B", hosts: hosts("a.example") }]);
  const foreign = await addSandbox(t, state, "foreign", [{ name: "A", hosts: hosts("elsewhere.example") }]);
  const { sandboxes } = await secrets.rotate("A", value("new-value"), {});
  assert.deepEqual(
    sandboxes.toSorted((a, b) => a.id.localeCompare(b.id)),
    [
      { id: "sbx_loc_foreign", name: "foreign", problem: "it has a secret of this name for other hosts" },
      { id: "sbx_loc_user", name: "user", problem: null },
    ],
  );
  assert.deepEqual(user.requests.at(-1), {
    method: "PUT",
    target: "/sbx/v1/secrets",
    body: { values: { A: "new-value" } },
  });
  for (const door of [other, foreign])
    assert.deepEqual(
      door.requests.map(({ method }) => method),
      ["GET"],
    );
  assert.deepEqual((await vault.open(["A"])).get("A"), value("new-value"));
});

test("a sandbox that cannot be told is reported, with the reason", async (t) => {
  const { state, secrets } = await open(t);
  await secrets.set({ name: "A", hosts: hosts("a.example"), source: value("old-value") });
  const door = await addSandbox(t, state, "web", [{ name: "A", hosts: hosts("a.example") }]);
  door.answers.set("PUT /sbx/v1/secrets", () => ({ status: 500, body: { code: "INTERNAL", message: "no room" } }));
  const { sandboxes } = await secrets.rotate("A", value("new-value"), {});
  assert.deepEqual(sandboxes, [{ id: "sbx_loc_web", name: "web", problem: "no room" }]);
});

test("a rotation reads the source anew, and stores nothing if that fails", async (t) => {
  const { secrets, vault } = await open(t);
  const source: SecretSource = { kind: "env", variable: "KEY" };
  await secrets.set({ name: "A", hosts: hosts("a.example"), source });
  await secrets.rotate("A", null, { environment: { KEY: "some-value" } });
  await assert.rejects(secrets.rotate("A", { kind: "env", variable: "GONE" }, { environment: {} }), {
    code: "secret_unreadable",
  });
  assert.deepEqual((await vault.open(["A"])).get("A"), source);
  await secrets.set({ name: "B", hosts: hosts("a.example"), source: value("some-value") });
  await assert.rejects(secrets.rotate("B", null, {}), { code: "usage", message: /nothing to read anew$/ });
  await assert.rejects(secrets.rotate("C", value("some-value"), {}), { code: "secret_not_found" });
});

test("doctor says where the key of stored secrets is, and what is wrong with it", async (t) => {
  const { state, secrets, vault } = await open(t);
  assert.equal((await checkSecrets(vault)).found, "none");
  await secrets.set({ name: "A", hosts: hosts("a.example"), source: value("some-value") });
  const keyFile = path.join(state.paths.statePath, "secrets.key");
  assert.deepEqual(await checkSecrets(vault), {
    ...{ id: "secrets", title: "Stored secrets", status: "ok" },
    found: `1 secret, encrypted; the key is in ${keyFile}`,
  });
  writeFileSync(keyFile, "no key");
  const check = await checkSecrets(vault);
  assert.equal(check.status, "failed");
  assert.match(check.found, /holds another key/);
});

test("a value that came with the request goes before a stored one, is not stored, and needs hosts of its own", async (t) => {
  const { secrets, vault } = await open(t);
  await secrets.set({ name: "KEY", hosts: hosts("stored.example"), source: value("stored") });
  const spec = network({ secrets: [{ name: "KEY", hosts: hosts("given.example") }] });
  const given = { environment: { KEY: "of the environment" }, secretValues: { KEY: CANARY } };
  const { egress, settings } = await prepareNetwork(vault, spec, given, NO_ROOTS);
  assert.deepEqual(egress.secrets, [{ name: "KEY", hosts: hosts("given.example") }]);
  assert.deepEqual(secretsCall().parse(JSON.parse(settings ?? "")).values, { KEY: CANARY });
  const [stored] = (await secrets.list()).secrets;
  assert.deepEqual(stored?.hosts, hosts("stored.example"));
  const hostless = network({ secrets: [{ name: "KEY", hosts: null }] });
  await assert.rejects(prepareNetwork(vault, hostless, given, NO_ROOTS), { code: "usage" });
  // Properties of every object are no values that came along.
  const odd = network({ secrets: [{ name: "toString", hosts: hosts("given.example") }] });
  await assert.rejects(prepareNetwork(vault, odd, given, NO_ROOTS), { code: "secret_not_found" });
});
