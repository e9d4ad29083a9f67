/** `run` and `network` of the library: what a program gets that wants neither streams nor parsed rules. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { network, run, SbxError } from "../../../src/index.ts";
import { FakeRuntime } from "../../fake-runtime.ts";

const runtime = new FakeRuntime();
runtime.programs.set("both", ({ stdout, stderr }) => {
  stdout.write("out");
  stderr.write("err");
  return 3;
});
runtime.programs.set("sleep", async () => {
  await sleep(60_000, undefined, { ref: false });
  return 0;
});
const sandbox = await runtime.create({ lifetime: { kind: "session" } });

const withCode = (code: string) => (error: unknown) => error instanceof SbxError && error.code === code;

test("a status that is not 0 is a result, with both outputs", async () => {
  const { code, stdout, stderr } = await run(sandbox, ["both"]);
  assert.deepEqual([code, stdout, stderr], [3, "out", "err"]);
});

test("stdin is what it is given, and words stay words", async () => {
  assert.equal((await run(sandbox, ["cat"], { stdin: "a\0b" })).stdout, "a\0b");
  assert.equal((await run(sandbox, ["echo", "a  b", ""], { cwd: "/tmp", env: { A: "1" } })).stdout, "a  b \n");
  const spec = runtime.calls.findLast(({ method }) => method === "exec")?.args[0];
  assert.deepEqual(spec, { argv: ["echo", "a  b", ""], cwd: "/tmp", env: { A: "1" }, stdin: false });
});

test("time, cancellation and too much output end the command with their own codes", async () => {
  await assert.rejects(run(sandbox, ["sleep"], { timeoutMs: 20 }), withCode("timeout"));
  const abort = new AbortController();
  const running = run(sandbox, ["sleep"], { signal: abort.signal });
  abort.abort();
  await assert.rejects(running, withCode("aborted"));
  await assert.rejects(run(sandbox, ["cat"], { stdin: "x".repeat(1000), maxBytes: 999 }), withCode("guest_error"));
  await assert.rejects(run(sandbox, ["nonsense"]), withCode("command_not_found"));
});

test("a network is said in the words of the command line; what does not parse is refused", () => {
  const { policy, secrets, onLeak } = network({
    allow: ["API.example.com:443"],
    deny: ["10.0.0.0/8"],
    preset: "balanced",
    secrets: { KEY: ["api.example.com"], STORED: null },
  });
  assert.equal(policy.mode, "balanced");
  const rules = policy.rules.map(({ verdict, host, ports, source }) => [verdict, host, ports, source.kind]);
  assert.deepEqual(rules, [
    ["allow", "api.example.com", [{ first: 443, last: 443 }], "api"],
    ["deny", "10.0.0.0/8", null, "api"],
  ]);
  assert.deepEqual(secrets, [
    { name: "KEY", hosts: [{ host: "api.example.com", port: null, scheme: "https" }] },
    { name: "STORED", hosts: null },
  ]);
  assert.equal(onLeak, "block");
  assert.throws(() => network({ allow: ["not a host"] }), withCode("usage"));
  assert.throws(() => network({ expressions: ["("] }), withCode("usage"));
});
