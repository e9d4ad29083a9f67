/** `sbx secret …`: values come in by a prompt or a pipe, and never go out. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import SecretList from "../../../../src/commands/secret/list.ts";
import SecretRemove from "../../../../src/commands/secret/remove.ts";
import SecretRotate from "../../../../src/commands/secret/rotate.ts";
import SecretSet from "../../../../src/commands/secret/set.ts";
import type { SecretSource } from "../../../../src/runtime/types.ts";
import { FakeRuntime, secretInfo } from "../../../fake-runtime.ts";
import { Collector, runCommand, type RunOptions, type RunResult } from "../run-command.ts";

const COMMANDS = { list: SecretList, remove: SecretRemove, rotate: SecretRotate, set: SecretSet } as const;

async function secret(verb: keyof typeof COMMANDS, argv: string[], options: RunOptions = {}): Promise<RunResult> {
  return runCommand(COMMANDS[verb], `secret:${verb}`, argv, options);
}

const CANARY = "canary-77aa";

function sourceOf(result: RunResult): SecretSource | undefined {
  const call = result.runtime.calls.find(({ method }) => method === "secrets.set");
  return (call?.args[0] as { source: SecretSource } | undefined)?.source;
}

test("set takes the value from stdin, without one line break at its end", async () => {
  for (const [stdin, value] of [
    [CANARY, CANARY],
    [`${CANARY}\n`, CANARY],
    [`${CANARY}\r\n`, CANARY],
    [` ${CANARY} `, ` ${CANARY} `],
  ] as const) {
    const result = await secret("set", ["KEY", "--host", "api.example.com,b.example:8443"], { stdin });
    assert.deepEqual(sourceOf(result), { kind: "value", value });
    assert.equal(result.stderr, "sbx: KEY is stored for api.example.com, b.example:8443\n");
    assert.deepEqual([result.stdout, result.status], ["", 0]);
  }
});

test("set asks a person, and shows nothing of what is typed", async () => {
  const stdin = new PassThrough();
  const stderr = new Collector();
  // inquirer ends what it writes to, unless that is the process's own stream.
  stderr.end = () => stderr;
  const options = { stdin, stderr, tty: { stdin: true, stderr: true } };
  const asking = secret("set", ["KEY", "--host", "api.example.com"], options);
  while (!stderr.text.includes("masked")) await new Promise((resolve) => setImmediate(resolve));
  // Ctrl-T is inquirer's own key to show what was typed.
  stdin.write(`${CANARY}\u0014`);
  await new Promise((resolve) => setImmediate(resolve));
  stdin.write("\r");
  const result = await asking;
  assert.deepEqual(sourceOf(result), { kind: "value", value: CANARY });
  assert.match(result.stderr, /Value of KEY /);
  assert.ok(!result.stderr.includes(CANARY));
  assert.equal(result.stdout, "");
});

test("set describes what it stored for programs, without the value", async () => {
  const { stdout, stderr } = await secret("set", ["KEY", "--host", "api.example.com", "--json"], { stdin: CANARY });
  const described = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual([described.name, described.hosts, described.source], ["KEY", ["api.example.com"], "value"]);
  assert.ok(!`${stdout}${stderr}`.includes(CANARY));
  assert.equal((await secret("set", ["KEY", "--host", "a.example", "-q"], { stdin: CANARY })).stderr, "");
});

test("set stores where to read the value, and does not read stdin then", async () => {
  const cases: [string[], SecretSource][] = [
    [["--from-env", "OTHER"], { kind: "env", variable: "OTHER" }],
    [["--from-command", "pass show 'a key'"], { kind: "command", command: "pass show 'a key'" }],
    [["--from-file", "key.txt"], { kind: "file", path: "/work/key.txt" }],
    [["--from-file", "/run/key"], { kind: "file", path: "/run/key" }],
  ];
  for (const [argv, source] of cases) {
    const result = await secret("set", ["KEY", "--host", "a.example", ...argv], { stdin: CANARY });
    assert.deepEqual(sourceOf(result), source);
    assert.equal(result.status, 0);
  }
});

test("set refuses what cannot be a secret with status 2, and stores nothing", async () => {
  const host = ["--host", "a.example"];
  const cases: [string[], string, RegExp][] = [
    [["KEY=canary-77aa", ...host], "", /^sbx: the value of KEY does not belong on a command line/],
    [["canary-77aa", ...host], "", /^sbx: the name of a secret has letters/],
    [["KEY"], CANARY, /required flag host/],
    [["KEY", "--host", "*"], CANARY, /would send the secret to every host/],
    [["KEY", ...host], "", /^sbx: the value of KEY is empty\n {2}try: /],
    [["KEY", ...host], "\n", /^sbx: the value of KEY is empty/],
    [["KEY", ...host], `${CANARY}\n\n`, /has a line break/],
    [["KEY", ...host], "abc", /has fewer than 4 bytes/],
    [["KEY", ...host], `${CANARY}\0`, /has a line break or another control character/],
    [["KEY", ...host], CANARY + "x".repeat(16_384), /longer than 16 KiB/],
    [["KEY", ...host, "--from-env", "A B"], CANARY, /cannot be the name of a variable/],
    [["KEY", ...host, "--from-env", "A", "--from-file", "b"], CANARY, /--from-file/],
    [["KEY", ...host, "--from-command", " "], CANARY, /--from-command is empty/],
  ];
  for (const [argv, stdin, message] of cases) {
    const result = await secret("set", argv, { stdin });
    assert.equal(result.status, 2, argv.join(" "));
    assert.match(result.stderr, message);
    assert.ok(!result.stderr.includes(CANARY), result.stderr);
    assert.deepEqual(result.runtime.calls, []);
  }
});

test("set refuses bytes that are no text", async () => {
  const stdin = new PassThrough();
  stdin.end(Buffer.from([0x61, 0xff, 0x62]));
  const result = await secret("set", ["KEY", "--host", "a.example"], { stdin });
  assert.equal(result.stderr, "sbx: the value of KEY is not text in UTF-8\n");
  assert.equal(result.status, 2);
});

test("list shows names, hosts and where values come from, and where the key is", async () => {
  const runtime = new FakeRuntime();
  runtime.now = 1_700_000_120_000;
  runtime.secretKey = { kind: "file", description: "/state/secrets.key", problem: null };
  runtime.secretList = [
    secretInfo({ name: "A_KEY", updatedAt: 1_700_000_060_000 }),
    secretInfo({ name: "B_KEY", source: "command", detail: "pass b" }),
    secretInfo({ name: "C_KEY", source: "env", detail: "OTHER" }),
    secretInfo({ name: "D_KEY", source: "file" }),
  ];
  const { stdout, stderr } = await secret("list", [], { runtime });
  assert.equal(
    stdout,
    [
      "NAME   HOSTS            SOURCE          CHANGED",
      "A_KEY  api.example.com  stored value    1m ago",
      "B_KEY  api.example.com  command pass b  2m ago",
      "C_KEY  api.example.com  variable OTHER  2m ago",
      "D_KEY  api.example.com  file            2m ago",
      "",
    ].join("\n"),
  );
  assert.equal(stderr, "sbx: encrypted with a key in the file /state/secrets.key\n");
  assert.equal((await secret("list", ["-q"], { runtime })).stdout, "A_KEY\nB_KEY\nC_KEY\nD_KEY\n");
  const json = JSON.parse((await secret("list", ["--json"], { runtime })).stdout) as Record<string, unknown>;
  assert.deepEqual(json.key, runtime.secretKey);
  assert.deepEqual((json.secrets as object[])[0], {
    ...{ name: "A_KEY", hosts: ["api.example.com"], source: "value", detail: null },
    ...{ createdAt: "2023-11-14T22:13:20.000Z", updatedAt: "2023-11-14T22:14:20.000Z" },
  });
});

test("list says when the key cannot be had", async () => {
  const runtime = new FakeRuntime();
  const problem = "the key of the stored secrets is in the system keyring, which cannot be reached: no session";
  runtime.secretKey = { kind: "keyring", description: "the system keyring (secret-tool)", problem };
  runtime.secretList = [secretInfo()];
  assert.equal((await secret("list", [], { runtime })).stderr, `sbx: they cannot be read: ${problem}\n`);
});

test("remove forgets each that is named, and names those that are not there", async () => {
  const runtime = new FakeRuntime();
  runtime.secretList = [secretInfo({ name: "A" }), secretInfo({ name: "B" })];
  const result = await secret("remove", ["A", "C", "B"], { runtime });
  assert.equal(result.stdout, "A\nB\n");
  assert.equal(result.stderr, "sbx: 1 of 3 secrets failed\n       C: no secret is stored as C\n");
  assert.equal(result.status, 1);
  assert.deepEqual(runtime.secretList, []);
});

test("rotate takes a new value, and says which sandboxes have it", async () => {
  const runtime = new FakeRuntime();
  runtime.secretList = [secretInfo({ name: "KEY" })];
  runtime.rotated = [
    { id: "sbx_loc_1", name: "web", problem: null },
    { id: "sbx_loc_2", name: null, problem: "it does not answer" },
  ];
  const result = await secret("rotate", ["KEY"], { runtime, stdin: `${CANARY}\n`, env: { A: "b" } });
  assert.equal(result.stdout, "web has the new value\nsbx_loc_2 still has the old value: it does not answer\n");
  assert.equal(result.status, 1);
  assert.deepEqual(runtime.calls.at(-1)?.args, ["KEY", { kind: "value", value: CANARY }]);
  assert.equal(runtime.environment?.A, "b");
  assert.ok(!`${result.stdout}${result.stderr}`.includes(CANARY));
  const json = JSON.parse((await secret("rotate", ["KEY", "--json"], { runtime, stdin: "value" })).stdout) as object;
  assert.deepEqual((json as { sandboxes: unknown }).sandboxes, runtime.rotated);
});

test("rotate says when no sandbox uses it", async () => {
  const runtime = new FakeRuntime();
  runtime.secretList = [secretInfo({ name: "KEY" })];
  const result = await secret("rotate", ["KEY"], { runtime, stdin: "value" });
  assert.deepEqual([result.stdout, result.status], ["", 0]);
  assert.equal(result.stderr, "sbx: KEY has a new value; no running sandbox uses it\n");
});

test("rotate reads a source anew without asking, or takes another one", async () => {
  const runtime = new FakeRuntime();
  runtime.secretList = [secretInfo({ name: "KEY", source: "command", detail: "pass key" })];
  await secret("rotate", ["KEY"], { runtime, stdin: CANARY });
  assert.deepEqual(runtime.calls.at(-1), { method: "secrets.rotate", args: ["KEY", null] });
  await secret("rotate", ["KEY", "--from-file", "k"], { runtime });
  assert.deepEqual(runtime.calls.at(-1)?.args, ["KEY", { kind: "file", path: "/work/k" }]);
});

test("rotate of a secret that is not stored asks for nothing", async () => {
  const result = await secret("rotate", ["KEY"], { stdin: CANARY });
  assert.equal(result.stderr, "sbx: no secret is stored as KEY\n  try: sbx secret list\n");
  assert.equal(result.status, 1);
});
