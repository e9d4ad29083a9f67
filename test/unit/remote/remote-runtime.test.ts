/** The runtime of a control plane, against a real one of sbx's own in this process. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { NetworkSpec, SandboxSpec } from "../../../src/runtime/types.ts";
import type { RuleSpec } from "../../../src/policy/spec.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import type { Methods } from "../rpc-client/fake-server.ts";
import { openRemoteRuntime } from "../../../src/runtime/remote/index.ts";
import { FakeMachine, openRemoteBench } from "./remote-bench.ts";

const ID = sandboxInfo().id;
async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const SESSION: SandboxSpec = { lifetime: { kind: "session" } };

const NETWORK: NetworkSpec = {
  ...{ policy: { mode: "none", rules: [], expressions: [] }, secrets: [], inspect: false, hookPath: null },
  ...{ onLeak: "block", resolve: [], extraRootsPem: [] },
};

/** A sandbox in which `echo` is the one program. */
const ECHO: Methods = {
  spawn: (params, connection) => {
    setImmediate(() => {
      connection.start(1);
      void connection.send(1, Buffer.from(`${params.args?.join(" ") ?? ""}\n`));
      connection.end(1);
      connection.start(2);
      connection.end(2);
    });
    return { pid: 7, stdoutStreamId: 1, stderrStreamId: 2 };
  },
  processWait: () => ({ success: true, code: 3, signal: null, oom: null }),
};

test("sandboxes are listed with their names, and found by name, id or the beginning of either", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web", labels: { team: "a" } })];
  const [found] = await remote.list({ labels: { team: "a" } });
  assert.deepEqual(found, sandboxInfo({ name: "web", labels: { team: "a" }, supervisorPid: null, vmPid: null }));
  assert.deepEqual(await remote.list({ labels: { team: "b" } }), []);
  assert.equal((await remote.get("we")).id, ID);
  await assert.rejects(remote.get("nobody"), { code: "sandbox_not_found", hint: "sbx list" });
});

test("a command runs in a sandbox that is connected to by its name, and its exit status comes back", async (t) => {
  const { remote, runtime } = await openRemoteBench(t, { methods: ECHO });
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  await using sandbox = await remote.connect("web");
  assert.deepEqual([sandbox.id, sandbox.info.name, sandbox.info.supervisorPid], [ID, "web", null]);
  await using session = await sandbox.exec({ argv: ["echo", "hello"] });
  let text = "";
  for await (const chunk of session.stdout) text += String(chunk);
  assert.equal(text, "hello\n");
  assert.equal((await session.exit).code, 3);
});

test("all that a sandbox can be given reaches the server's runtime", async (t) => {
  const { remote, runtime, machine } = await openRemoteBench(t, {
    config: { quotas: { sandboxes: 9, maxDisk: "20GB" } },
  });
  machine.values = { KEY: "geheim-ä-秘密" };
  const rule: RuleSpec = {
    ...{ id: "r1", host: "*.example.com", ports: [{ first: 443, last: 443 }], methods: ["GET"], paths: ["/v1/**"] },
    ...{ verdict: "allow", source: { kind: "option", option: "--allow-net" } },
  };
  const spec: SandboxSpec = {
    ...{ name: "web", image: "default", memoryBytes: 1024 ** 3, cpus: 1, diskBytes: 20_000_000_000 },
    ...{ env: { A: "ü" }, labels: { team: "a" }, root: "base", lifetime: { kind: "duration", ms: 60_000 } },
    volumes: [{ volume: "data", path: "/data", access: "read-only" }],
    network: {
      policy: {
        mode: "balanced",
        rules: [rule, { ...rule, id: "r2", verdict: "deny", host: "x.example.com" }],
        expressions: [],
      },
      secrets: [{ name: "KEY", hosts: [{ host: "api.example.com", port: null, scheme: "https" }] }],
      ...{ onLeak: "report", inspect: true, hookPath: null, extraRootsPem: [] },
      resolve: [{ host: "a.example.com", port: 443, address: "203.0.113.1" }],
    },
  };
  await using _sandbox = await remote.create(spec);
  const [made] = runtime.calls.filter(({ method }) => method === "create");
  const given = made?.args[0] as SandboxSpec;
  assert.deepEqual(given, {
    ...spec,
    network: {
      ...spec.network,
      policy: {
        mode: "balanced",
        rules: spec.network?.policy.rules.map((one) => ({ ...one, source: { kind: "api" } })),
        expressions: [],
      },
    },
  });
  assert.deepEqual(runtime.secretValues, { KEY: "geheim-ä-秘密" });
});

test("without a network a sandbox reaches nothing, and without sizes it gets the server's", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  await using _sandbox = await remote.create(SESSION);
  const given = runtime.calls.find(({ method }) => method === "create")?.args[0] as SandboxSpec;
  assert.ok(given.network);
  assert.deepEqual(given.network.policy, { mode: "none", rules: [], expressions: [] });
  assert.deepEqual([given.network.onLeak, given.cpus, given.image], ["block", 2, undefined]);
});

test("one from a checkpoint is given nothing that the checkpoint has, and counts as what that is", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo()];
  await remote.checkpoints.create(ID, "ready");
  await using _sandbox = await remote.create({ ...SESSION, checkpoint: "ready" });
  const given = runtime.calls.find(({ method }) => method === "create")?.args[0];
  assert.deepEqual(given, { checkpoint: "ready", lifetime: { kind: "session" } });
});

test("a session ends with its handle, and a sandbox with a lifetime does not", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const session = await remote.create(SESSION);
  await session[Symbol.asyncDispose]();
  while ((await remote.list())[0]?.status === "running") await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(runtime.sandboxes[0]?.reason, "session_ended");
  const lasting = await remote.create({ lifetime: { kind: "duration", ms: 60_000 } });
  await lasting[Symbol.asyncDispose]();
  assert.equal((await remote.get(lasting.id)).status, "running");
});

test("what a server would have of this machine, or run of its user's code, is refused before anything is asked", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const cases: [SandboxSpec, RegExp][] = [
    [
      { ...SESSION, mounts: [{ hostPath: "/src", guestPath: "/s", access: "read-only" }] },
      /'\/src'.* cannot be mounted/,
    ],
    [{ ...SESSION, network: { ...NETWORK, hookPath: "/hook.mjs" } }, /hooks do not run on a server/],
    [
      {
        ...SESSION,
        network: {
          ...NETWORK,
          policy: { ...NETWORK.policy, expressions: [{ id: "e1", text: "true", source: { kind: "default" } }] },
        },
      },
      /rules in JavaScript/,
    ],
  ];
  for (const [spec, message] of cases) await assert.rejects(remote.create(spec), { code: "unsupported", message });
  assert.deepEqual(runtime.calls, []);
});

test("the server keeps to its organisation's limits, and says which", async (t) => {
  const { remote, runtime } = await openRemoteBench(t, { config: { quotas: { sandboxes: 1, cpus: 4 } } });
  const allow = (host: string): NetworkSpec => ({
    ...NETWORK,
    policy: {
      ...{ mode: "none", expressions: [] },
      rules: [
        { id: "r1", verdict: "allow", host, ports: null, methods: null, paths: null, source: { kind: "default" } },
      ],
    },
  });
  const refused: [Partial<SandboxSpec>, RegExp][] = [
    [{ cpus: 5 }, /cpus: at most 4/],
    [{ diskBytes: 11_000_000_000 }, /diskBytes: at most 10000000000/],
    [{ memoryBytes: 100 * 1024 ** 3 }, /memory_mb must be from/],
    [{ network: allow("10.0.0.0/8") }, /not a public address/],
    [{ network: allow("*") }, /would allow every host/],
    [{ volumes: [{ volume: "v", path: "/../etc", access: "read-only" }] }, /not an absolute path/],
  ];
  for (const [more, message] of refused) {
    await assert.rejects(remote.create({ ...SESSION, ...more }), { code: "config_invalid", message, exitCode: 2 });
  }
  await using _one = await remote.create(SESSION);
  await assert.rejects(remote.create(SESSION), { code: "quota_exceeded", message: /at most 1 sandboxes run/ });
  assert.equal(runtime.calls.filter(({ method }) => method === "create").length, 1);
});

test("the extension of the configuration is refused where it has a key that nobody knows", async (t) => {
  const { url, token, runtime } = await openRemoteBench(t);
  const config = Buffer.from(JSON.stringify({ memory_mb: 1280, sbx: { hookPath: "/x" } })).toString("base64");
  const response = await fetch(`${url}/api/v3/sandboxes/create`, {
    headers: { authorization: `Bearer ${token}`, "x-deno-sandbox-config": config },
  });
  assert.equal(response.status, 426);
  const { WebSocket } = await import("ws");
  const socket = new WebSocket(`${url.replace("http", "ws")}/api/v3/sandboxes/create`, {
    headers: { authorization: `Bearer ${token}`, "x-deno-sandbox-config": config },
  });
  const [error] = (await once(socket, "error")) as [Error];
  assert.match(error.message, /400/);
  assert.deepEqual(runtime.calls, []);
});

test("whoever asks for a longer life than the server gives is told before", async (t) => {
  const { remote } = await openRemoteBench(t, { config: { quotas: { lifetime: "10m" } } });
  const notices: string[] = [];
  const onNotice = (text: string): unknown => notices.push(text);
  await using _long = await remote.create({ lifetime: { kind: "duration", ms: 3_600_000 } }, { onNotice });
  assert.match(notices.join(), /gives a sandbox 10 minutes at one time/);
  await using _short = await remote.create({ lifetime: { kind: "duration", ms: 600_000 } }, { onNotice });
  assert.equal(notices.length, 1);
});

test("copies are sent by the client; one that fails takes the sandbox with it", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const spec: SandboxSpec = {
    lifetime: { kind: "duration", ms: 60_000 },
    copies: [{ hostPath: "/nowhere/at-all", guestPath: "/app", placement: "as" }],
  };
  await assert.rejects(remote.create(spec), { code: "file_error" });
  assert.deepEqual(
    runtime.sandboxes.map(({ status }) => status),
    ["stopped"],
  );
});

test("a lifetime is extended, a machine stands still and goes on, a sandbox ends", async (t) => {
  const { remote, runtime } = await openRemoteBench(t, { config: { quotas: { lifetime: "10m" } } });
  runtime.sandboxes = [sandboxInfo({ name: "web", expiresAt: runtime.now + 1000 })];
  assert.equal(await remote.extend("web", 3_600_000), runtime.now + 600_000);
  assert.equal((await remote.pause("web")).status, "paused");
  assert.equal((await remote.resume("web")).status, "running");
  assert.equal((await remote.remove("web")).status, "stopped");
});

test("copies of a machine are made with news of how far it is, and checkpoints are kept", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const { sandboxes } = await remote.fork("web", { count: 2, lifetimeMs: 60_000, env: { N: "1" } });
  assert.equal(sandboxes.length, 2);
  const made = await remote.checkpoints.create("web", "ready");
  assert.equal(made.name, "ready");
  assert.deepEqual(
    (await remote.checkpoints.list()).map(({ name }) => name),
    ["ready"],
  );
  assert.equal((await remote.checkpoints.remove("ready")).id, made.id);
  await assert.rejects(remote.checkpoints.get("ready"), { code: "checkpoint_not_found" });
});

test("logs and events come as on the server, and whoever leaves early hangs up", async (t) => {
  const { remote, runtime, log } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  runtime.logLines = [
    { time: 1, source: "console", text: "one" },
    { time: null, source: "process", text: "two", process: { pid: 7, stream: "stdout" } },
  ];
  assert.deepEqual(await collect(remote.logs("web", { tail: 9 })), runtime.logLines);
  for await (const line of remote.logs("web", { follow: true })) {
    assert.equal(line.text, "one");
    break;
  }
  while ((log().match(/sandbox\.logs/g)?.length ?? 0) < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  runtime.failures.set("logs", new SbxError("sandbox_not_found", "there is no sandbox"));
  await assert.rejects(collect(remote.logs("nobody")), { code: "sandbox_not_found" });
  const abort = new AbortController();
  const followed = collect(remote.events({ follow: true, signal: abort.signal }));
  abort.abort();
  await assert.rejects(followed, { code: "aborted" });
});

test("a server in a sandbox, and VS Code, have URLs of the server's gateway, and no others are told of", async (t) => {
  const { remote, runtime } = await openRemoteBench(t, { withDoors: true });
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const exposure = await remote.exposures.add("web", { guestPort: 8000 });
  assert.match(exposure.url, /^https:\/\/[a-z0-9-]{20,}\.localhost:\d+$/);
  assert.deepEqual(
    (await remote.exposures.list("web")).map(({ url }) => url),
    [exposure.url],
  );
  const editor = await remote.editor.open("web", { folder: "/app" });
  assert.match(editor.url, /^https:\/\/[a-z0-9-]{20,}\.localhost:\d+\/\?tkn=t0ken&folder=\/app$/);
  assert.notEqual(new URL(editor.url).host, new URL(exposure.url).host);
  runtime.exposures.exposed = [{ guestPort: editor.guestPort, hostPort: 1, url: "http://x.localhost", createdAt: 1 }];
  runtime.editor.stop = async () => {
    runtime.exposures.exposed = [];
    return true;
  };
  assert.equal(await remote.editor.stop("web"), true);
  assert.deepEqual(
    (await remote.exposures.list("web")).map(({ guestPort }) => guestPort),
    [8000],
  );
});

test("without a gateway there are no URLs, and what to use instead is said", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const refusal = { code: "unsupported", hint: "sbx forward SANDBOX PORT" };
  await assert.rejects(remote.exposures.add("web", { guestPort: 8000 }), refusal);
  await assert.rejects(remote.editor.open("web", {}), refusal);
  assert.deepEqual(runtime.editor.running.size, 0);
});

test("a program can follow many things at once, and still ask for others", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const stop = new AbortController();
  const following = Array.from({ length: 40 }, async () =>
    collect(remote.events({ follow: true, signal: stop.signal })),
  );
  const ends = Promise.allSettled(following);
  while (runtime.calls.filter(({ method }) => method === "events").length < 40) await remote.list();
  assert.equal((await remote.get("web")).id, ID);
  stop.abort();
  await ends;
});

test("SSH is relayed for this machine's key, and the sandbox's key is known before the first byte", async (t) => {
  const { remote, runtime, machine } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  const { stream, sandboxId } = await remote.ssh.open("web", { hostName: "web.sbx" });
  t.after(() => stream.destroy());
  assert.equal(sandboxId, ID);
  assert.deepEqual(machine.pinned, [{ hostName: "web.sbx", key: `ssh-ed25519 ${"A".repeat(68)}`, sandboxId: ID }]);
  assert.equal(runtime.ssh.opened[0]?.options.hostName, `ssh-ed25519 ${"C".repeat(68)}`);
  const [server] = runtime.ssh.servers;
  stream.write("SSH-2.0-client\r\n");
  assert.equal(String(((await once(server ?? stream, "data")) as [Buffer])[0]), "SSH-2.0-client\r\n");
  server?.write("SSH-2.0-server\r\n");
  assert.equal(String(((await once(stream, "data")) as [Buffer])[0]), "SSH-2.0-server\r\n");
  await assert.rejects(remote.ssh.open("nobody", { hostName: "x.sbx" }), { code: "sandbox_not_found" });
});

test("a connection of SSH ends with its token", async (t) => {
  const { remote, runtime, tokens } = await openRemoteBench(t);
  runtime.sandboxes = [sandboxInfo()];
  const { stream } = await remote.ssh.open(ID, { hostName: "x.sbx" });
  stream.on("error", () => undefined).resume();
  tokens.revoke(tokens.list()[0]?.id ?? "");
  await once(stream, "close");
});

test("a token that is wrong, revoked or not for that is an error of its own, with its exit status", async (t) => {
  const { url, makeToken, tokens } = await openRemoteBench(t);
  const machine = new FakeMachine();
  const reader = makeToken({ scopes: ["read"] });
  const revoked = makeToken();
  tokens.revoke(tokens.list().find(({ scopes }) => scopes.length > 1 && scopes.length < 9)?.id ?? "");
  for (const token of ["ddo_wrong", "ddo_".padEnd(47, "x")]) {
    await using remote = await openRemoteRuntime({ endpoint: url, token, machine });
    await assert.rejects(remote.list(), { code: "not_authenticated", exitCode: 4 });
    await assert.rejects(remote.connect(ID), { code: "not_authenticated", exitCode: 4 });
    await assert.rejects(remote.create(SESSION), { code: "not_authenticated", exitCode: 4 });
  }
  await using remote = await openRemoteRuntime({ endpoint: url, token: reader, machine });
  assert.deepEqual(await remote.list(), []);
  await assert.rejects(remote.create(SESSION), { code: "not_authenticated", message: /scope sandboxes/ });
  assert.ok(revoked.startsWith("ddo_"));
});

test("a server that is not there is said to be away, and nothing is made elsewhere", async () => {
  const endpoint = "http://127.0.0.1:1";
  await using remote = await openRemoteRuntime({ endpoint, token: "ddo_x", machine: new FakeMachine() });
  for (const call of [remote.list(), remote.get("web"), remote.create(SESSION), remote.images.list()]) {
    await assert.rejects(call, { code: "server_unreachable", message: `the server at ${endpoint} cannot be reached` });
  }
});

test("a command whose connection breaks says so, and is not run again", async (t) => {
  const { remote, runtime, sandboxes } = await openRemoteBench(t, {
    methods: { ...ECHO, processWait: async () => new Promise(() => undefined) },
  });
  runtime.sandboxes = [sandboxInfo()];
  await using sandbox = await remote.connect(ID);
  const session = await sandbox.exec({ argv: ["echo"] });
  sandboxes.connection.socket.terminate();
  await assert.rejects(session.exit, (error) => error instanceof SbxError && error.code === "connection_closed");
  assert.equal(sandboxes.connection.calls.filter(({ method }) => method === "spawn").length, 1);
});

test("what only the machine of a server can do is refused with what to do instead", async (t) => {
  const { remote } = await openRemoteBench(t);
  await assert.rejects(remote.images.build({ name: "x", packages: [] }), { code: "unsupported" });
  await assert.rejects(remote.prune({ images: true }), { code: "unsupported" });
  await assert.rejects(remote.exposures.add(ID, { guestPort: 80, hostPort: 80 }), { code: "unsupported" });
  await assert.rejects(remote.openRpc(ID, []), { code: "unsupported" });
});
