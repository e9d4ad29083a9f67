/** `sbx expose`, `--expose-http` and the operands of `sbx forward`: what they ask for, and what they say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import Create from "../../../../src/commands/create.ts";
import Expose from "../../../../src/commands/expose.ts";
import Forward from "../../../../src/commands/forward.ts";
import Inspect from "../../../../src/commands/inspect.ts";
import Run from "../../../../src/commands/run.ts";
import { parseForwardOperand } from "../../../../src/cli/parsers/forward-operand.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand, type RunResult } from "../run-command.ts";

const URL_3000 = "http://web-3000.localhost:40000";

function withSandbox(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  return runtime;
}

async function expose(argv: string[], runtime = withSandbox()): Promise<RunResult> {
  return runCommand(Expose, "expose", argv, { runtime });
}

function calls(runtime: FakeRuntime): unknown[] {
  return runtime.calls
    .filter(({ method }) => method.startsWith("exposures."))
    .map(({ method, args }) => [method, ...args]);
}

test("the URL is all that is printed, and JSON has the ports", async () => {
  const plain = await expose(["web", "3000"]);
  assert.deepEqual([plain.status, plain.stdout, plain.stderr], [0, `${URL_3000}\n`, ""]);
  assert.deepEqual(calls(plain.runtime), [["exposures.add", "web", { guestPort: 3000 }]]);
  const fixed = await expose(["web", "3000", "--port", "8080", "--json"]);
  assert.deepEqual(JSON.parse(fixed.stdout), {
    ...{ guestPort: 3000, hostPort: 8080, url: "http://web-3000.localhost:8080" },
    createdAt: "2023-11-14T22:13:20.000Z",
  });
});

test("without a port they are listed; --remove takes one away", async () => {
  const runtime = withSandbox();
  const none = await expose(["web"], runtime);
  assert.deepEqual([none.stdout, none.stderr], ["", "sbx: web has no URLs; sbx expose web PORT gives it one\n"]);
  await expose(["web", "3000"], runtime);
  assert.equal(
    (await expose(["web"], runtime)).stdout,
    `PORT  URL                              CREATED\n3000  ${URL_3000}  1m ago\n`,
  );
  assert.equal((await expose(["web", "--quiet"], runtime)).stdout, `${URL_3000}\n`);
  const removed = await expose(["web", "3000", "--remove"], runtime);
  assert.deepEqual([removed.stdout, removed.stderr], ["", "sbx: port 3000 of web has no URL any more\n"]);
  assert.equal((await expose(["web", "3000", "--remove"], runtime)).status, 1);
});

test("what is no port, or says nothing, is a usage error", async () => {
  for (const argv of [
    ["web", "0"],
    ["web", "65536"],
    ["web", "x"],
    ["web", "-1"],
    ["web", "--remove"],
    ["web", "--port", "80"],
    ["web", "80", "--remove", "--port", "80"],
    [],
  ]) {
    assert.equal((await expose(argv)).status, 2, argv.join(" "));
  }
});

test("a new sandbox has its URLs from the start: told on stderr, and in JSON", async () => {
  const detached = await runCommand(Create, "create", [
    "--detach",
    "--expose-http",
    "3000",
    "--expose-http",
    "4000",
    "--expose-http",
    "3000",
  ]);
  assert.match(detached.stdout, /^sbx_loc_\d+\n$/);
  assert.equal(
    detached.stderr,
    `sbx: port 3000 is at ${URL_3000}\nsbx: port 4000 is at http://web-4000.localhost:40000\n`,
  );
  const json = await runCommand(Create, "create", ["--detach", "--json", "--expose-http", "3000"]);
  assert.equal(json.stderr, "");
  assert.equal((JSON.parse(json.stdout) as { exposures: { url: string }[] }).exposures[0]?.url, URL_3000);
  const run = await runCommand(Run, "run", ["--expose-http", "3000", "--", "true"]);
  assert.deepEqual([run.status, run.stderr], [0, `sbx: port 3000 is at ${URL_3000}\n`]);
  assert.equal((await runCommand(Create, "create", ["--detach", "--expose-http", "x"])).status, 2);
});

test("a new sandbox that cannot have its URL is not left behind", async () => {
  const runtime = new FakeRuntime();
  runtime.failures.set("exposures.add", new SbxError("port_in_use", "no port is free"));
  const { status, stderr } = await runCommand(Create, "create", ["--detach", "--expose-http", "3000"], { runtime });
  assert.equal(status, 125);
  assert.match(stderr, /no port is free/);
  assert.deepEqual(
    runtime.sandboxes.map((info) => info.status),
    ["stopped"],
  );
});

test("inspect has the URLs", async () => {
  const runtime = withSandbox();
  await expose(["web", "3000"], runtime);
  assert.match(
    (await runCommand(Inspect, "inspect", ["web"], { runtime })).stdout,
    /^URL +http:\/\/web-3000\.localhost:40000 for port 3000$/m,
  );
  const json = JSON.parse((await runCommand(Inspect, "inspect", ["web", "--json"], { runtime })).stdout) as {
    exposures: unknown[];
  };
  assert.equal(json.exposures.length, 1);
});

test("a forwarded port is a number, a pair, or a pair with a path", () => {
  assert.deepEqual(parseForwardOperand("3000"), { hostPort: 3000, target: { port: 3000 } });
  assert.deepEqual(parseForwardOperand("8080:3000"), { hostPort: 8080, target: { port: 3000 } });
  assert.deepEqual(parseForwardOperand("0:3000"), { hostPort: 0, target: { port: 3000 } });
  assert.deepEqual(parseForwardOperand("80:/run/a:b.sock"), { hostPort: 80, target: { path: "/run/a:b.sock" } });
  for (const text of [
    "",
    "0",
    ":",
    "1:",
    ":1",
    "1:0",
    "1:2:3",
    "a:1",
    "1:a",
    "65536:1",
    "-1:1",
    "1:rel/path",
    "1:/\0",
    `1:/${"x".repeat(107)}`,
  ]) {
    assert.throws(() => parseForwardOperand(text), { code: "usage" }, JSON.stringify(text));
  }
});

test("forward refuses what it cannot read before it looks for the sandbox", async () => {
  for (const argv of [["web"], ["web", "x"], ["web", "80:80", "--address", "localhost"]]) {
    const { status, runtime } = await runCommand(Forward, "forward", argv, { runtime: withSandbox() });
    assert.deepEqual([status, runtime.calls], [2, []], argv.join(" "));
  }
});
