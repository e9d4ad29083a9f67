/** `sbx ssh`, `ssh-config` and `ssh-proxy`: what they print, change and ask the runtime for. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import Ssh from "../../../../src/commands/ssh.ts";
import SshConfig from "../../../../src/commands/ssh-config.ts";
import SshProxy from "../../../../src/commands/ssh-proxy.ts";
import { sshTarget } from "../../../../src/cli/contexts/ssh-host.ts";
import { FakeRuntime } from "../../../fake-runtime.ts";
import { temporaryDirectory } from "../../store/temporary-directory.ts";
import { runCommand } from "../run-command.ts";

function prepare(t: TestContext): { runtime: FakeRuntime; file: string; own: string } {
  const runtime = new FakeRuntime();
  const directory = temporaryDirectory(t);
  runtime.ssh.directoryPath = directory;
  return { runtime, file: path.join(directory, "user-config"), own: path.join(directory, "config") };
}

test("ssh-config writes a file of its own, and one line into the user's on request", async (t) => {
  const { runtime, file, own } = prepare(t);
  writeFileSync(file, "Host work\n");
  const asked = await runCommand(SshConfig, "ssh-config", ["--file", file], { runtime });
  assert.deepEqual([asked.status, asked.stdout], [0, ""]);
  assert.match(asked.stderr, /was not changed; sbx ssh-config --yes adds the line/);
  assert.equal(readFileSync(file, "utf8"), "Host work\n");
  const added = await runCommand(SshConfig, "ssh-config", ["--yes", "--file", file], { runtime });
  assert.equal(added.stderr, `sbx: ${file} includes sbx's: try ssh NAME.sbx\n`);
  assert.match(readFileSync(file, "utf8"), new RegExp(`^# .*\nInclude "${own}"\n\nHost work\n$`));
  const json = await runCommand(SshConfig, "ssh-config", ["--json", "--file", file], { runtime });
  assert.deepEqual(JSON.parse(json.stdout), { path: own, userPath: file, included: true });
  await runCommand(SshConfig, "ssh-config", ["--remove", "--file", file], { runtime });
  assert.equal(readFileSync(file, "utf8"), "Host work\n");
});

test("ssh-config --print changes nothing of the user's", async (t) => {
  const { runtime, file, own } = prepare(t);
  const { stdout, status } = await runCommand(SshConfig, "ssh-config", ["--print", "--file", file], { runtime });
  assert.equal(status, 0);
  assert.equal(stdout, readFileSync(own, "utf8"));
  assert.match(stdout, /^Host \*\.sbx /m);
  assert.equal(existsSync(file), false);
});

test("ssh refuses what would be of no use or of harm, before anything is opened", async () => {
  for (const [args, message] of [
    [["-A", "web"], /-A would let everything in the sandbox use your keys/],
    [["--json", "web"], /a session of ssh has no JSON/],
    [["../web"], /is neither the id nor the name of a sandbox/],
    [[], /missing SANDBOX/],
  ] as const) {
    const { status, stderr, settings } = await runCommand(Ssh, "ssh", [...args]);
    assert.equal(status, 2, args.join(" "));
    assert.match(stderr, message);
    assert.equal(settings, undefined);
  }
});

test("a sandbox that does not run is refused without ssh, with the reason", async (t) => {
  const { runtime } = prepare(t);
  const sandbox = await runtime.create({ name: "web", lifetime: { kind: "duration", ms: 60_000 } } as never);
  await runtime.remove(sandbox.id);
  const { status, stderr } = await runCommand(Ssh, "ssh", [sandbox.id], { runtime });
  assert.equal(status, 125);
  assert.match(stderr, /^sbx: the sandbox \S+ is not running/);
});

test("ssh-proxy relays, and pins the name as the client has it", async (t) => {
  const { runtime } = prepare(t);
  const sandbox = await runtime.create({ name: "web", lifetime: { kind: "duration", ms: 60_000 } } as never);
  const running = runCommand(SshProxy, "ssh-proxy", ["web.sbx"], {
    runtime,
    stdin: "SSH-2.0-client\r\n",
  });
  while (runtime.ssh.servers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const [server] = runtime.ssh.servers;
  assert.ok(server);
  server.end("SSH-2.0-server\r\n");
  const { stdout, status } = await running;
  assert.deepEqual([status, stdout], [0, "SSH-2.0-server\r\n"]);
  const [{ ref, options }] = runtime.ssh.opened as [(typeof runtime.ssh.opened)[0]];
  assert.deepEqual([ref, options.hostName, options.clientFirst], ["web", "web.sbx", false]);
  assert.ok(sandbox.id);
});

test("a host of a context is a sandbox on that server; one without is of this machine, whatever context is in use", async (t) => {
  const { runtime } = prepare(t);
  await runtime.create({ name: "web", lifetime: { kind: "duration", ms: 60_000 } } as never);
  const env = { SBX_CONTEXT: "https://ci.example", SBX_TOKEN: "ddo_token" };
  const proxy = async (host: string): Promise<unknown> => {
    const already = runtime.ssh.servers.length;
    const running = runCommand(SshProxy, "ssh-proxy", [host], { runtime, env, stdin: "SSH-2.0-client\r\n" });
    while (runtime.ssh.servers.length === already) await new Promise((resolve) => setTimeout(resolve, 5));
    runtime.ssh.servers.at(-1)?.end("SSH-2.0-server\r\n");
    const { target, status } = await running;
    const { ref, options } = runtime.ssh.opened.at(-1) ?? {};
    return [status, ref, options?.hostName, target?.kind === "remote" ? target.endpoint : target?.kind];
  };
  assert.deepEqual(await proxy("web.ci-example.sbx"), [0, "web", "web.ci-example.sbx", "https://ci.example"]);
  assert.deepEqual(await proxy("web.sbx"), [0, "web", "web.sbx", "local"]);
  const nowhere = await runCommand(SshProxy, "ssh-proxy", ["web.work.sbx"], { runtime, env });
  assert.deepEqual([nowhere.status, nowhere.target], [2, undefined]);
  assert.match(nowhere.stderr, /there is no context "work"/);
  assert.equal((await runCommand(SshProxy, "ssh-proxy", ["a.b.c.sbx"], { runtime, env })).status, 2);
});

test("ssh is given the host name of the context, and what it starts the address", () => {
  const endpoints = { endpoint: "https://ci.example", sandboxEndpoint: null, organisation: null };
  const chosen = {
    name: "work",
    source: "file",
    isStored: true,
    endpoints,
    token: "ddo_x",
    tokenSource: "file",
  } as const;
  assert.deepEqual(sshTarget("web", chosen, { A: "b" }), { host: "web.work", env: { A: "b" } });
  assert.deepEqual(sshTarget("web", { ...chosen, isStored: false, name: "ci-example" }, {}), {
    host: "web.ci-example",
    env: { SBX_CONTEXT: "https://ci.example" },
  });
  assert.deepEqual(sshTarget("web", { ...chosen, endpoints: null }, {}), { host: "web", env: {} });
});
