/** What `create` and `run` say about a sandbox's network, before and after the command in it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import Create from "../../../../src/commands/create.ts";
import Run from "../../../../src/commands/run.ts";
import type { NetDenial } from "../../../../src/runtime/network.ts";
import type { NetworkSpec, SandboxSpec } from "../../../../src/runtime/types.ts";
import { FakeRuntime, secretInfo } from "../../../fake-runtime.ts";
import { temporaryDirectory } from "../../store/temporary-directory.ts";
import { runCommand, type RunOptions, type RunResult } from "../run-command.ts";

async function run(argv: string[], options: RunOptions = {}): Promise<RunResult> {
  return runCommand(Run, "run", [...argv, "--", "true"], options);
}

function specOf(result: RunResult): SandboxSpec {
  return result.runtime.calls.find(({ method }) => method === "create")?.args[0] as SandboxSpec;
}

function networkOf(result: RunResult): NetworkSpec {
  const { network } = specOf(result);
  assert.ok(network, result.stderr);
  return network;
}

const API = { host: "api.example.com", port: null, scheme: "https" };

test("without an option about the network the sandbox has none, and the runtime decides what that means", async () => {
  assert.equal(specOf(await run([])).network, undefined);
});

test("every option reaches the sandbox", async (t) => {
  const directory = temporaryDirectory(t);
  const hook = path.join(directory, "hook.ts");
  const policy = path.join(directory, "policy.yaml");
  writeFileSync(hook, "export {};\n");
  writeFileSync(policy, "version: 1\ndeny:\n  - evil.example\nrules:\n  - r.method === 'HEAD'\n");
  const result = await run([
    ...[
      "--allow-net",
      "api.example.com,10.0.0.0/8:5432,5433",
      "--allow-net",
      "*.test.example",
      "--deny-net",
      "x.example",
    ],
    ...["--net", "open", "--net-file", policy, "--rule", "r.method === 'GET'", "--secret", "A@api.example.com"],
    ...["--hook", hook, "--inspect", "--on-leak", "report", "--resolve", "a.example:443:127.0.0.1"],
  ]);
  const { policy: spec, ...rest } = networkOf(result);
  const rules = spec.rules.map(({ id, verdict, host, ports, source }) => [
    id,
    verdict,
    host,
    ports?.map(({ first, last }) => `${first}-${last}`).join() ?? null,
    source.kind === "option" ? source.option : source.kind === "file" ? `${source.path}:${source.line}` : "?",
  ]);
  assert.deepEqual(rules, [
    ["r1", "allow", "api.example.com", null, "--allow-net"],
    ["r2", "allow", "10.0.0.0/8", "5432-5433", "--allow-net"],
    ["r3", "allow", "*.test.example", null, "--allow-net"],
    ["r4", "deny", "x.example", null, "--deny-net"],
    ["r5", "deny", "evil.example", null, `${policy}:3`],
  ]);
  assert.equal(spec.mode, "open");
  assert.deepEqual(spec.expressions, [
    { id: "e1", text: "r.method === 'GET'", source: { kind: "option", option: "--rule" } },
    { id: "e2", text: "r.method === 'HEAD'", source: { kind: "file", path: policy, line: 5 } },
  ]);
  assert.deepEqual(rest, {
    secrets: [{ name: "A", hosts: [API] }],
    onLeak: "report",
    inspect: true,
    hookPath: hook,
    resolve: [{ host: "a.example", port: 443, address: "127.0.0.1" }],
    extraRootsPem: [],
  });
  assert.equal(result.status, 0);
});

test("one option is enough, and the others have their defaults", async () => {
  assert.deepEqual(networkOf(await run(["--net", "balanced"])), {
    policy: { mode: "balanced", rules: [], expressions: [] },
    ...{ secrets: [], onLeak: "block", inspect: false, hookPath: null, resolve: [], extraRootsPem: [] },
  });
});

test("--net wins over the policy file, which else decides", async (t) => {
  const policy = path.join(temporaryDirectory(t), "policy.yaml");
  writeFileSync(policy, "version: 1\nnet: open\n");
  assert.equal(networkOf(await run(["--net-file", policy])).policy.mode, "open");
  assert.equal(networkOf(await run(["--net-file", policy, "--net", "none"])).policy.mode, "none");
});

test("roots are parsed one by one, and are taken from several files", async (t) => {
  const directory = temporaryDirectory(t);
  const pem = (name: string): string => {
    const file = path.join(directory, `${name}.pem`);
    const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=${name} -keyout /dev/null -out`;
    execFileSync("openssl", [...words.split(" "), file], { stdio: "ignore" });
    return file;
  };
  const [a, b] = [pem("a"), pem("b")];
  const both = path.join(directory, "both.pem");
  writeFileSync(both, `# two\n${readFileSync(a, "utf8")}\n${readFileSync(b, "utf8")}`);
  assert.equal(networkOf(await run(["--ca-file", both])).extraRootsPem.length, 2);
  assert.equal(networkOf(await run(["--ca-file", a, "--ca-file", b])).extraRootsPem.length, 2);
  writeFileSync(both, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  const broken = await run(["--ca-file", both]);
  assert.equal(broken.status, 2);
  assert.match(broken.stderr, /^sbx: certificate 1 of --ca-file ".*both.pem" cannot be read\n/);
});

test("what does not parse stops the command with status 2 and what would be right, before anything starts", async (t) => {
  const directory = temporaryDirectory(t);
  const policy = path.join(directory, "policy.yaml");
  writeFileSync(policy, "version: 1\nallow:\n  - '*'\n");
  const expressions = path.join(directory, "rules.yaml");
  writeFileSync(expressions, "version: 1\nrules:\n  - r.method ===\n");
  const cases: [string[], RegExp][] = [
    [
      ["--allow-net", "https://a.example/"],
      /it is a URL\n {2}try: write only the host and the port, such as a.example:443$/,
    ],
    [["--allow-net", "*"], /would allow every host\n {2}try: /],
    [["--net", "closed"], /--net.*none, balanced, open/],
    [["--rule", "r.method ==="], /is not a JavaScript expression: [^]*\n {2}try: /],
    [["--net-file", policy], /policy\.yaml:3: "\*" would allow every host/],
    [["--net-file", expressions], /rules\.yaml:3: the rule "r\.method ===" is not a JavaScript expression/],
    [["--net-file", path.join(directory, "gone")], /^sbx: --net-file ".*gone" does not exist$/],
    [["--hook", "gone.ts"], /^sbx: --hook "\/work\/gone.ts" does not exist$/],
    [["--hook", directory], /is a directory$/],
    [["--ca-file", policy], /has no certificate in PEM\n {2}try: openssl/],
    [
      ["--secret", "KEY=canary@a.example"],
      /^sbx: the value of KEY does not belong on a command line[^]*sbx secret set KEY/,
    ],
    [["--resolve", "a.example:443"], /try: write HOST:PORT:ADDRESS/],
    [["--on-leak", "ignore"], /--on-leak.*block, report, pass/],
    [["--env", "A=1", "--secret", "A@a.example"], /^sbx: A is both a secret and a variable of the sandbox\n {2}try: /],
  ];
  for (const [argv, expected] of cases) {
    const result = await run(argv);
    assert.equal(result.status, 2, `${argv.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr.trimEnd(), expected);
    assert.ok(!result.stderr.includes("canary"));
    assert.deepEqual(result.runtime.calls, []);
  }
});

test("the runtime gets the caller's environment, and the specification no value of it", async () => {
  const result = await run(["--allow-net", "api.example.com", "--secret", "A@api.example.com"], {
    env: { A: "canary" },
  });
  assert.equal(result.runtime.environment?.A, "canary");
  assert.ok(!JSON.stringify(specOf(result)).includes("canary"));
});

test("a secret whose host cannot be reached is pointed out", async () => {
  const warning = (host: string, pattern: string): string =>
    `sbx: the secret A is for ${host}, which the sandbox may not reach; add --allow-net '${pattern}'\n`;
  const cases: [string[], string][] = [
    [["--secret", "A@api.example.com"], warning("api.example.com", "api.example.com")],
    [
      ["--secret", "A@api.example.com:8443", "--allow-net", "api.example.com:443"],
      warning("api.example.com:8443", "api.example.com:8443"),
    ],
    [
      ["--secret", "A@api.example.com", "--net", "open", "--deny-net", "*.com"],
      "sbx: the secret A is for api.example.com, which the sandbox may not reach: " +
        'api.example.com:443 is denied by "deny *.com"\n',
    ],
    [["--secret", "A@*.example.com", "--allow-net", "other.example"], warning("*.example.com", "*.example.com")],
    [["--secret", "A@api.example.com", "--allow-net", "*.example.com"], ""],
    [["--secret", "A@api.example.com", "--allow-net", "api.example.com:8443"], ""],
    [["--secret", "A@*.example.com", "--allow-net", "api.example.com"], ""],
    [["--secret", "A@api.example.com", "--net", "open"], ""],
    [["--secret", "A@api.github.com", "--net", "balanced"], ""],
    [["--secret", "A@api.example.com", "--rule", "true"], ""],
    [["--quiet", "--secret", "A@api.example.com"], ""],
  ];
  for (const [argv, stderr] of cases) assert.equal((await run(argv)).stderr, stderr, argv.join(" "));
});

test("a secret without hosts is for those that it was stored with", async () => {
  const runtime = new FakeRuntime();
  runtime.secretList = [secretInfo({ name: "A" })];
  const result = await run(["--secret", "A"], { runtime });
  assert.deepEqual(networkOf(result).secrets, [{ name: "A", hosts: null }]);
  assert.match(result.stderr, /^sbx: the secret A is for api\.example\.com, which/);
});

function denial(host: string, more: Partial<NetDenial> = {}): NetDenial {
  const target = more.port === undefined ? host : `${host}:${more.port}`;
  return { host, port: null, count: 1, reason: "no rule", fix: ["net", "allow", "SANDBOX", target], ...more };
}

test("after the command one line says what was denied, and how to allow it", async () => {
  const runtime = new FakeRuntime();
  runtime.deniedTargets = [denial("db.example", { port: 5432 })];
  assert.equal(
    (await run([], { runtime })).stderr,
    "sbx: 1 request was denied (db.example:5432); try: sbx run --allow-net db.example:5432 …\n",
  );
  runtime.deniedTargets = [
    denial("a.example"),
    denial("b.example", { count: 7 }),
    denial("c.example"),
    denial("d.example"),
  ];
  assert.equal(
    (await run([], { runtime })).stderr,
    "sbx: 10 requests were denied (d.example, c.example, b.example and 1 more); try: " +
      "sbx run --allow-net d.example --allow-net c.example --allow-net b.example …\n",
  );
});

test("a sandbox that lives on can be allowed more at once; a shell's is created anew", async () => {
  const runtime = new FakeRuntime();
  runtime.deniedTargets = [denial("db.example")];
  const living = await runCommand(Create, "create", ["--name", "web", "--timeout", "1h", "--", "true"], { runtime });
  assert.match(living.stderr, /\nsbx: 1 request was denied \(db\.example\); try: sbx net allow web db\.example\n$/);
  const shell = await runCommand(Create, "create", ["--", "true"], { runtime });
  assert.equal(shell.stderr, "sbx: 1 request was denied (db.example); try: sbx create --allow-net db.example …\n");
});

test("what the guest asked for cannot do anything to the terminal, and nothing is proposed that does not help", async () => {
  const runtime = new FakeRuntime();
  runtime.deniedTargets = [denial(`\u001b[2J${"x".repeat(200)}`, { fix: null })];
  const { stderr } = await run([], { runtime });
  assert.equal(stderr, `sbx: 1 request was denied (\\e[2J${"x".repeat(54)}…)\n`);
});

test("nothing is said where nothing was denied, with --quiet, with --json, or where it cannot be learnt", async () => {
  const runtime = new FakeRuntime();
  assert.equal((await run([], { runtime })).stderr, "");
  runtime.deniedTargets = [denial("a.example")];
  assert.equal((await run(["--quiet"], { runtime })).stderr, "");
  assert.equal((await run(["--json"], { runtime })).stderr, "");
  runtime.failures.set("network.denied", new Error("gone"));
  const failed = await run([], { runtime });
  assert.deepEqual([failed.stderr, failed.status], ["", 0]);
});
