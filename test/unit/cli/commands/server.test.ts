/** `sbx token …` and `sbx serve`: what they print, what they keep, how they end. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import Serve from "../../../../src/commands/serve.ts";
import TokenCreate from "../../../../src/commands/token/create.ts";
import TokenList from "../../../../src/commands/token/list.ts";
import TokenRevoke from "../../../../src/commands/token/revoke.ts";
import { Collector, runCommand, type RunOptions, type RunResult } from "../run-command.ts";

const COMMANDS = { create: TokenCreate, list: TokenList, revoke: TokenRevoke } as const;

interface Bench {
  directory: string;
  token: (verb: keyof typeof COMMANDS, argv: string[], options?: RunOptions) => Promise<RunResult>;
}

function openBench(t: TestContext): Bench {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return {
    directory,
    token: async (verb, argv, options) =>
      runCommand(COMMANDS[verb], `token:${verb}`, [...argv, "--data", directory], options),
  };
}

test("create prints the token alone, once; the list has everything but it; revoked it is gone", async (t) => {
  const { token } = openBench(t);
  const made = await token("create", ["ci", "--org", "acme", "--expires", "30d", "--scope", "read"]);
  assert.equal(made.status, 0);
  assert.match(made.stdout, /^ddo_[A-Za-z0-9_-]{43}\n$/);
  assert.match(made.stderr, /tok_[0-9a-f]{16} is for acme; the token is shown this once/);
  const listed = await token("list", []);
  assert.match(listed.stdout, /^ID +NAME +ORGANISATIONS +SCOPES +MADE +EXPIRES\ntok_[0-9a-f]{16} +ci +acme +read +/);
  assert.ok(!listed.stdout.includes(made.stdout.trim().slice(4)));
  const revoked = await token("revoke", ["ci"]);
  assert.match(revoked.stdout, /^tok_[0-9a-f]{16}\n$/);
  assert.equal((await token("list", ["--json"])).stdout, "[]\n");
  const again = await token("revoke", ["ci"]);
  assert.deepEqual([again.status, again.stdout], [2, ""]);
  assert.match(again.stderr, /there is no token "ci"/);
});

test("a token of several organisations is a personal one", async (t) => {
  const { token } = openBench(t);
  const refused = await token("create", ["--org", "a", "--org", "b"]);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /a token is of one organisation/);
  const made = await token("create", ["--org", "a", "--org", "b", "--personal", "--json"]);
  const record = JSON.parse(made.stdout) as Record<string, unknown>;
  assert.match(String(record["token"]), /^ddp_/);
  assert.deepEqual([record["organisations"], record["kind"], record["expiresAt"]], [["a", "b"], "personal", null]);
  for (const name of ["A", "", "a/b", "..", "-a"])
    assert.equal((await token("create", ["--org", name])).status, 2, name);
});

test("serve prints the lines for the SDKs, answers, and ends with the signal", async (t) => {
  const { directory } = openBench(t);
  process.env["SBX_HOME"] = path.join(directory, "home");
  t.after(() => delete process.env["SBX_HOME"]);
  const start = async (): Promise<{ lines: string[]; stop: () => Promise<RunResult> }> => {
    const signals = new EventEmitter();
    const stdout = new Collector();
    const argv = ["--listen", "127.0.0.1:0", "--data", path.join(directory, "server")];
    const running = runCommand(Serve, "serve", argv, { signals, stdout });
    while (!stdout.text.includes("SANDBOX_ENDPOINT"))
      await Promise.race([once(stdout, "drain"), new Promise((go) => setTimeout(go, 5))]);
    const stop = async (): Promise<RunResult> => {
      signals.emit("SIGTERM");
      return running;
    };
    return { lines: stdout.text.trimEnd().split("\n"), stop };
  };
  const first = await start();
  const [endpoint = "", sandboxes = "", token = ""] = first.lines;
  const url = /^export DENO_DEPLOY_ENDPOINT=(http:\/\/127\.0\.0\.1:\d+)$/.exec(endpoint)?.[1] ?? "";
  assert.equal(sandboxes, `export DENO_SANDBOX_ENDPOINT=${url}`);
  const secret = /^export DENO_DEPLOY_TOKEN=(ddo_\S+)$/.exec(token)?.[1] ?? "";
  const answer = await fetch(`${url}/api/v2/sandboxes`, { headers: { authorization: `Bearer ${secret}` } });
  assert.deepEqual([answer.status, await answer.json()], [200, []]);
  const ended = await first.stop();
  assert.equal(ended.status, 0);
  assert.match(ended.stderr, /"event":"draining".*\n.*"event":"stopped"/);
  assert.ok(!ended.stderr.includes(secret));
  assert.match(ended.stderr, /SSH is at 127\.0\.0\.1, port \d+; host key SHA256:[A-Za-z0-9+/]{43}\n/);
  const second = await start();
  assert.ok(!second.lines.some((line) => line.includes("TOKEN")));
  assert.match((await second.stop()).stderr, /tokens were made before/);
});

test("serve refuses an address that is none and a configuration that does not parse, and starts nothing", async (t) => {
  const { directory } = openBench(t);
  for (const listen of ["8787", "example.com:1", "127.0.0.1:70000", "[127.0.0.1]:1", "::1:80"]) {
    const { status, stderr } = await runCommand(Serve, "serve", ["--listen", listen, "--data", directory]);
    assert.equal(status, 2, listen);
    assert.match(stderr, /is not an address and a port/);
  }
  const config = path.join(directory, "limits.json");
  writeFileSync(config, '{"quotas":{"sandboxs":3}}');
  const { status, stdout, stderr } = await runCommand(Serve, "serve", ["--config", config, "--data", directory]);
  assert.deepEqual([status, stdout], [2, ""]);
  assert.match(stderr, /limits\.json: quotas: Unrecognized key: "sandboxs"/);
});
