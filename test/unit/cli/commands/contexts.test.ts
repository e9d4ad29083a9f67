/** `sbx login`, `logout`, `context …` and `--context`: what is kept, what is shown, where commands go. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import Complete from "../../../../src/commands/complete.ts";
import ContextList from "../../../../src/commands/context/list.ts";
import ContextRemove from "../../../../src/commands/context/remove.ts";
import ContextShow from "../../../../src/commands/context/show.ts";
import ContextUse from "../../../../src/commands/context/use.ts";
import List from "../../../../src/commands/list.ts";
import Login from "../../../../src/commands/login.ts";
import Logout from "../../../../src/commands/logout.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand, type RunOptions, type RunResult } from "../run-command.ts";

const TOKEN = `ddo_${"s".repeat(43)}`;
const URL = "https://sandboxes.example";
const COMMANDS = {
  ...{ login: Login, logout: Logout, list: List },
  ...{ "context:list": ContextList, "context:use": ContextUse, "context:show": ContextShow },
  ...{ "context:remove": ContextRemove, complete: Complete },
} as const;

interface Bench {
  filePath: string;
  runtime: FakeRuntime;
  call: (id: keyof typeof COMMANDS, argv?: string[], options?: RunOptions) => Promise<RunResult>;
}

function openBench(t: TestContext): Bench {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-unit-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const runtime = new FakeRuntime();
  return {
    filePath: path.join(directory, "sbx", "contexts.json"),
    runtime,
    call: async (id, argv = [], options = {}) =>
      runCommand(COMMANDS[id], id, argv, {
        runtime,
        ...options,
        env: { XDG_CONFIG_HOME: directory, ...options.env },
      }),
  };
}

async function logIn({ call }: Bench, ...argv: string[]): Promise<RunResult> {
  return call("login", [URL, "--token-stdin", ...argv], { stdin: `${TOKEN}\n` });
}

test("login tries the token, keeps it where nobody else can read, and commands go there", async (t) => {
  const bench = openBench(t);
  const { status, stderr, target } = await logIn(bench, "--name", "work");
  assert.equal(status, 0, stderr);
  assert.equal(stderr, `sbx: commands use ${URL} now, as the context work; sbx context use local goes back\n`);
  assert.deepEqual(target, {
    ...{ kind: "remote", name: "work", endpoint: URL, sandboxEndpoint: null, organisation: null, token: TOKEN },
  });
  assert.equal(statSync(bench.filePath).mode & 0o777, 0o600);
  assert.equal(statSync(path.dirname(bench.filePath)).mode & 0o777, 0o700);
  const listed = await bench.call("list");
  assert.deepEqual([listed.status, listed.target?.name], [0, "work"]);
  assert.equal((await bench.call("list", ["--context", "local"])).target?.kind, "local");
});

test("a token that the server does not take is not kept, and the status is 4", async (t) => {
  const bench = openBench(t);
  bench.runtime.list = () => Promise.reject(new SbxError("not_authenticated", "the token is not known"));
  const { status, stderr } = await logIn(bench);
  assert.equal(status, 4);
  assert.match(
    stderr,
    /https:\/\/sandboxes\.example does not take this token: the token is not known\n.*sbx token create/,
  );
  assert.throws(() => readFileSync(bench.filePath));
});

test("a server that is away is no login either", async (t) => {
  const bench = openBench(t);
  bench.runtime.list = () => Promise.reject(new SbxError("connection_closed", "it does not answer"));
  assert.equal((await logIn(bench)).status, 1);
  assert.throws(() => readFileSync(bench.filePath));
});

test("a token is never an argument: SBX_TOKEN, stdin, or a person", async (t) => {
  const { call } = openBench(t);
  const none = await call("login", [URL], { stdin: TOKEN });
  assert.deepEqual([none.status, none.target], [2, undefined]);
  assert.match(
    none.stderr,
    /there is no token, and no terminal to ask for it\n.*--token-stdin < FILE, or set SBX_TOKEN/,
  );
  const given = await call("login", [URL], { env: { SBX_TOKEN: TOKEN } });
  assert.equal(given.status, 0, given.stderr);
  assert.equal((await call("login", [URL, TOKEN])).status, 2);
  const wrong = await call("login", [URL, "--token-stdin"], { stdin: "two words\n" });
  assert.deepEqual([wrong.status, /two words/.test(wrong.stderr)], [2, false]);
});

test("HTTP without TLS is for this machine alone, unless it is asked for, and then there is a warning", async (t) => {
  const { call } = openBench(t);
  const stdin = TOKEN;
  assert.equal((await call("login", ["http://127.0.0.1:8787", "--token-stdin"], { stdin })).status, 0);
  const refused = await call("login", ["http://10.1.2.3:8787", "--token-stdin"], { stdin });
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /HTTP without TLS: whoever is on the way could read the token/);
  const insecure = await call("login", ["http://10.1.2.3:8787", "--token-stdin", "--insecure-http"], { stdin });
  assert.equal(insecure.status, 0);
  assert.match(insecure.stderr, /^sbx: http:\/\/10\.1\.2\.3:8787 is HTTP without TLS/);
  // And later, without a word more.
  assert.equal((await call("list")).target?.name, "10-1-2-3-8787");
});

test("a personal token needs an organisation", async (t) => {
  const { call } = openBench(t);
  const stdin = "ddp_personal";
  const refused = await call("login", [URL, "--token-stdin"], { stdin });
  assert.deepEqual([refused.status, refused.target], [2, undefined]);
  assert.match(refused.stderr, /--org NAME/);
  const { target } = await call("login", [URL, "--token-stdin", "--org", "acme"], { stdin });
  assert.equal(target?.kind === "remote" && target.organisation, "acme");
});

test("a name is of one server; logging in again by it changes the token alone", async (t) => {
  const bench = openBench(t);
  await logIn(bench, "--name", "work", "--org", "acme");
  const taken = await bench.call("login", ["https://other.example", "--name", "work", "--token-stdin"], {
    stdin: TOKEN,
  });
  assert.equal(taken.status, 2);
  assert.match(taken.stderr, /the context work is of another server, https:\/\/sandboxes\.example/);
  const { target } = await bench.call("login", ["work", "--token-stdin"], { stdin: "ddo_new" });
  assert.deepEqual(target?.kind === "remote" && [target.endpoint, target.organisation, target.token], [
    ...[URL, "acme", "ddo_new"],
  ]);
  assert.equal((await bench.call("login", [URL, "--name", "local", "--token-stdin"], { stdin: TOKEN })).status, 2);
  assert.equal((await bench.call("login", ["nowhere", "--token-stdin"], { stdin: TOKEN })).status, 2);
});

test("after a logout commands fail with status 4, and do not go back to this machine", async (t) => {
  const bench = openBench(t);
  await logIn(bench, "--name", "work");
  const out = await bench.call("logout");
  assert.equal(out.status, 0);
  assert.match(out.stderr, /the server still takes it until it is revoked there/);
  assert.ok(!readFileSync(bench.filePath, "utf8").includes(TOKEN));
  const { status, stderr, target } = await bench.call("list");
  assert.deepEqual([status, target], [4, undefined]);
  assert.match(stderr, /there is no token for https:\/\/sandboxes\.example/);
});

test("the context in use cannot be removed: commands would go elsewhere", async (t) => {
  const bench = openBench(t);
  await logIn(bench, "--name", "work");
  const refused = await bench.call("context:remove", ["work"]);
  assert.deepEqual([refused.status, refused.stdout], [2, ""]);
  assert.match(refused.stderr, /the context work is in use\n.*sbx context use local/);
  assert.equal((await bench.call("context:use", ["local"])).stderr, "sbx: commands use this machine now\n");
  assert.equal((await bench.call("context:remove", ["work"])).stdout, "work\n");
  assert.equal((await bench.call("context:remove", ["local"])).status, 2);
  assert.equal((await bench.call("context:use", ["work"])).status, 2);
  assert.ok(!readFileSync(bench.filePath, "utf8").includes(TOKEN));
});

test("nothing shows the token", async (t) => {
  const bench = openBench(t);
  await logIn(bench, "--name", "work");
  for (const argv of [[], ["--json"], ["-q"]]) {
    for (const id of ["context:list", "context:show", "list"] as const) {
      const { stdout, stderr, status } = await bench.call(id, argv);
      assert.deepEqual([status, `${stdout}${stderr}`.includes(TOKEN.slice(4))], [0, false], id);
    }
  }
  assert.equal(
    (await bench.call("context:show")).stdout,
    [
      ...["context       work", `server        ${URL}`, "organisation  the token's own"],
      ...["token         kept since the login", "because of    sbx context use", ""],
    ].join("\n"),
  );
});

test("the list has this machine, all servers, and the one that only the environment names", async (t) => {
  const bench = openBench(t);
  assert.deepEqual(JSON.parse((await bench.call("context:list", ["--json"])).stdout), [
    { name: "local", endpoint: null, organisation: null, hasToken: false, current: true },
  ]);
  await logIn(bench, "--name", "work");
  const env = { SBX_CONTEXT: "https://ci.example" };
  const views = JSON.parse((await bench.call("context:list", ["--json"], { env })).stdout) as Record<string, unknown>[];
  assert.deepEqual(
    views.map(({ name, current, hasToken }) => [name, current, hasToken]),
    [
      ["local", false, false],
      ["work", false, true],
      ["https://ci.example", true, false],
    ],
  );
  assert.match((await bench.call("context:list")).stdout, /^\* +work +https:\/\/sandboxes\.example +- +yes$/m);
});

test("the list is there when SBX_CONTEXT is wrong: that is what somebody may be looking for", async (t) => {
  const { call } = openBench(t);
  const { status, stdout, stderr } = await call("context:list", ["--json"], { env: { SBX_CONTEXT: "wrok" } });
  const [local] = JSON.parse(stdout) as { current: boolean }[];
  assert.deepEqual([status, local?.current], [0, false]);
  assert.equal(stderr, 'sbx: there is no context "wrok", which SBX_CONTEXT names\n');
  assert.equal((await call("context:show", [], { env: { SBX_CONTEXT: "wrok" } })).status, 2);
});

test("a person is told where a command looks, a program is not", async (t) => {
  const bench = openBench(t);
  await logIn(bench, "--name", "work", "--org", "acme");
  const onTerminal = { tty: { stderr: true } };
  const told = await bench.call("list", [], onTerminal);
  assert.match(told.stderr, /sbx: context work \(https:\/\/sandboxes\.example, organisation acme\)\n/);
  for (const argv of [["--json"], ["--quiet"], ["--context", "local"]])
    assert.doesNotMatch((await bench.call("list", argv, onTerminal)).stderr, /sandboxes\.example/);
  assert.equal((await bench.call("list")).stderr, "");
});

test("contexts complete, and names of sandboxes are those of the context on the line", async (t) => {
  const bench = openBench(t);
  await logIn(bench, "--name", "work");
  await bench.call("context:use", ["local"]);
  bench.runtime.list = async () => [sandboxInfo({ name: "web" })];
  const flags = { context: { type: "option" } } as const;
  const commands = ["context:use", "kill"].map((id) => ({ id, aliases: [], flags }));
  const words = async (...argv: string[]): Promise<RunResult> => bench.call("complete", ["--", ...argv], { commands });
  assert.equal((await words("context", "use", "")).stdout, `local\tthis machine\nwork\t${URL}\n`);
  assert.equal((await words("kill", "--context", "w")).stdout, `work\t${URL}\n`);
  assert.equal((await words("kill", "--context", "work", "")).target?.name, "work");
  assert.equal((await words("kill", "--context=work", "")).target?.name, "work");
  assert.equal((await words("kill", "")).target?.name, "local");
});
