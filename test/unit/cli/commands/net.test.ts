/** `sbx net …`: exact output, exit status, and what is asked of the runtime. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import NetAllow from "../../../../src/commands/net/allow.ts";
import NetCheck from "../../../../src/commands/net/check.ts";
import NetDeny from "../../../../src/commands/net/deny.ts";
import NetLog from "../../../../src/commands/net/log.ts";
import NetPresets from "../../../../src/commands/net/presets.ts";
import NetShow from "../../../../src/commands/net/show.ts";
import type { RuleSource } from "../../../../src/policy/spec.ts";
import type { AuditEvent, NetView } from "../../../../src/runtime/network.ts";
import { FakeRuntime, networkView, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand, type RunOptions, type RunResult } from "../run-command.ts";

const COMMANDS = {
  allow: NetAllow,
  check: NetCheck,
  deny: NetDeny,
  log: NetLog,
  presets: NetPresets,
  show: NetShow,
} as const;

function fakeRuntime(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  return runtime;
}

async function net(verb: keyof typeof COMMANDS, argv: string[], options: RunOptions = {}): Promise<RunResult> {
  return runCommand(COMMANDS[verb], `net:${verb}`, argv, { runtime: fakeRuntime(), ...options });
}

const OPTION: RuleSource = { kind: "option", option: "--allow-net" };

const VIEW: NetView = networkView({
  rules: [
    { id: "r1", verdict: "allow", text: "api.example.com", kind: "host", source: OPTION, warning: null },
    {
      ...{ id: "r2", verdict: "allow", text: "api.example.com:443 GET /v1/**", kind: "host" },
      ...{
        source: { kind: "file", path: "policy.yaml", line: 4 },
        warning: "adds nothing to r1 (allow api.example.com)",
      },
    },
    {
      ...{ id: "r3", verdict: "deny", text: "*.evil.example", kind: "host", warning: null },
      source: { kind: "command", at: Date.UTC(2026, 2, 1, 12) },
    },
    { id: "e1", verdict: "allow", text: "r.method === 'GET'", kind: "expression", source: OPTION, warning: null },
  ],
  secrets: [
    {
      ...{ name: "EXAMPLE_KEY", placeholder: "DENO_SECRET_PLACEHOLDER_00", hasValue: true },
      hosts: [
        { host: "api.example.com", port: null, scheme: "https" },
        { host: "b.example", port: 80, scheme: "http" },
      ],
    },
  ],
  inspect: true,
  hook: { path: "/work/hook.ts", state: "failed", detail: "it ended with status 1" },
  counters: { openFlows: 0, connections: 1, requests: 12, denied: 3, leaks: 2, sentBytes: 1, receivedBytes: 2 },
});

test("show prints each rule with its source, what is wrong with it, and the secrets", async () => {
  const runtime = fakeRuntime();
  runtime.view = VIEW;
  const result = await net("show", ["web"], { runtime });
  assert.equal(
    result.stdout,
    [
      "ID  VERDICT  RULE                            SOURCE",
      "r1  allow    api.example.com                 --allow-net",
      "r2  allow    api.example.com:443 GET /v1/**  policy.yaml:4",
      "r3  deny     *.evil.example                  command of 2026-03-01T12:00:00Z",
      "e1  allow    r.method === 'GET'              --allow-net",
      "-   deny     everything else                 --net none",
      "",
      "warning: r2 adds nothing to r1 (allow api.example.com)",
      "",
      "SECRET       HOSTS                                 VALUE",
      "EXAMPLE_KEY  api.example.com, http://b.example:80  there",
      "",
      "Inspect  every connection that can be read",
      "Hook     /work/hook.ts (it ended with status 1)",
      "On leak  block",
      "Rest     rules in JavaScript are asked about what no other rule names",
      "So far   1 connection, 12 requests; 3 denied, 2 with a placeholder for another host",
      "",
    ].join("\n"),
  );
  assert.deepEqual([result.status, result.stderr], [0, ""]);
});

test("show of a sandbox without any network, and of one that reaches everything", async () => {
  const runtime = fakeRuntime();
  const none = await net("show", ["web"], { runtime });
  assert.equal(
    none.stdout,
    "ID  VERDICT  RULE             SOURCE\n-   deny     everything else  --net none\n\nSo far  0 connections, 0 requests; 0 denied\n",
  );
  runtime.view = networkView({ mode: "open" });
  assert.match((await net("show", ["web"], { runtime })).stdout, /-   allow    every other public host  --net open/);
});

test("show for programs is the view as it is; --quiet the rules alone", async () => {
  const runtime = fakeRuntime();
  runtime.view = VIEW;
  assert.deepEqual(JSON.parse((await net("show", ["web", "--json"], { runtime })).stdout), VIEW);
  assert.equal(
    (await net("show", ["web", "--quiet"], { runtime })).stdout,
    "allow api.example.com\nallow api.example.com:443 GET /v1/**\ndeny *.evil.example\nallow r.method === 'GET'\n",
  );
});

test("show fits a narrow terminal", async () => {
  const runtime = fakeRuntime();
  runtime.view = VIEW;
  const { stdout } = await net("show", ["web"], {
    runtime,
    tty: { stdout: true, columns: 50 },
    env: { NO_COLOR: "1" },
  });
  for (const line of stdout.split("\n").filter((text) => !/^(?:Rest|So far) /.test(text))) {
    assert.ok(line.length <= 50, line);
  }
  assert.match(stdout, /^warning: r2 adds nothing to r1 \(allow\n {9}api\.example\.com\)$/m);
});

test("check says allowed, by which rule and how it is carried, with status 0", async () => {
  const runtime = fakeRuntime();
  runtime.checkAnswer = {
    decision: {
      ...{ verdict: "allow", reason: 'GET api.example.com:443 is allowed by "allow api.example.com"', fix: null },
      rule: { id: "r1", text: "allow api.example.com", source: OPTION },
    },
    carried: "intercept",
    secrets: ["EXAMPLE_KEY"],
  };
  const result = await net("check", ["web", "https://api.example.com/v1"], { runtime });
  assert.equal(
    result.stdout,
    `allowed GET https://api.example.com/v1
  rule     r1 allow api.example.com (--allow-net)
  why      GET api.example.com:443 is allowed by "allow api.example.com"
  carried  read by sbx, with a certificate of the sandbox's own authority
  secrets  EXAMPLE_KEY
`,
  );
  assert.equal(result.status, 0);
  assert.deepEqual(runtime.calls, [{ method: "network.check", args: ["web", "GET", "https://api.example.com/v1"] }]);
});

test("check says denied, why and what would allow it, with status 1", async () => {
  const runtime = fakeRuntime();
  const fix = ["net", "allow", "SANDBOX", "db.example:5432"];
  const decision = { verdict: "deny" as const, rule: null, reason: "no rule allows db.example:5432", fix };
  runtime.checkAnswer = { decision, carried: null, secrets: [] };
  const result = await net("check", ["web", "db.example:5432"], { runtime });
  assert.equal(
    result.stdout,
    "denied db.example:5432\n  why  no rule allows db.example:5432\n  try  sbx net allow web db.example:5432\n",
  );
  assert.equal(result.status, 1);
  const json = await net("check", ["web", "POST", "https://db.example:5432/", "--json"], { runtime });
  assert.deepEqual(JSON.parse(json.stdout), runtime.checkAnswer);
  assert.equal(json.status, 1);
  const quiet = await net("check", ["web", "db.example:5432", "--quiet"], { runtime });
  assert.deepEqual([quiet.stdout, quiet.status], ["", 1]);
});

test("check refuses what is no request before it asks", async () => {
  const result = await net("check", ["web", "GET", "ftp://a.example/"]);
  assert.equal(result.status, 2);
  assert.equal(
    result.stderr,
    'sbx: "ftp://a.example/" is not a URL\n  try: such as https://api.example.com/v1 or db.example.com:5432\n',
  );
  assert.deepEqual(result.runtime.calls, []);
});

test("allow and deny say what holds now", async () => {
  const runtime = fakeRuntime();
  const allowed = await net("allow", ["web", "a.example:80,443,b.example", "c.example"], { runtime });
  assert.equal(allowed.stdout, "allow a.example:80,443 (r1)\nallow b.example (r2)\nallow c.example (r3)\n");
  const denied = await net("deny", ["web", "*"], { runtime });
  assert.equal(denied.stdout, "deny * (r1)\n");
  assert.deepEqual([allowed.status, denied.status], [0, 0]);
  assert.deepEqual(runtime.calls, [
    { method: "network.change", args: ["web", "allow", ["a.example:80,443", "b.example", "c.example"]] },
    { method: "network.change", args: ["web", "deny", ["*"]] },
  ]);
});

test("a host that is still denied is said with the reason, with status 1", async () => {
  const runtime = fakeRuntime();
  const reason = 'a.example is denied by "deny *.example"';
  const source: RuleSource = { kind: "command", at: 1 };
  runtime.rulesAnswer = {
    rules: [
      {
        id: "r9",
        verdict: "allow",
        text: "a.example",
        kind: "host",
        source,
        warning: "has no effect: r2 denies all of it",
      },
    ],
    stillDenied: [{ host: "a.example", decision: { verdict: "deny", rule: null, reason, fix: null } }],
  };
  const result = await net("allow", ["web", "a.example"], { runtime });
  assert.equal(
    result.stdout,
    `allow a.example (r9)\nwarning: r9 has no effect: r2 denies all of it\nwarning: a.example is still denied: ${reason}\n`,
  );
  assert.equal(result.status, 1);
  const json = await net("allow", ["web", "a.example", "--json"], { runtime });
  assert.deepEqual(JSON.parse(json.stdout), runtime.rulesAnswer);
});

test("allow and deny refuse a bad pattern with its hint, before they ask", async () => {
  const result = await net("allow", ["web", "a.example", "*"]);
  assert.equal(
    result.stderr,
    'sbx: "*" would allow every host\n  try: --net open allows all public hosts, and --deny-net takes some of them away\n',
  );
  assert.equal(result.status, 2);
  assert.deepEqual(result.runtime.calls, []);
  assert.equal((await net("deny", ["web", ""])).status, 2);
});

const EVENTS: AuditEvent[] = [
  { time: 0, kind: "dns", verdict: "allow", host: "api.example.com", port: 53, via: "resolver" },
  {
    ...{
      time: 1000,
      kind: "request",
      verdict: "allow",
      host: "api.example.com",
      port: 443,
      method: "GET",
      status: 200,
    },
    ...{ url: "https://api.example.com/v1?key", via: "intercept", secrets: ["KEY"], ms: 34.4 },
    ...{ sentBytes: 200, receivedBytes: 1100 },
  },
  {
    ...{ time: 2000, kind: "connection", verdict: "allow", host: "db.example", port: 5432, via: "tunnel", ms: 7 },
    ...{ sentBytes: 10, receivedBytes: 0, error: "the upstream reset the connection" },
  },
  {
    ...{
      time: 3000,
      kind: "connection",
      verdict: "deny",
      host: "fd00::1",
      port: 22,
      reason: "no rule allows [fd00::1]:22",
    },
    fix: ["net", "allow", "SANDBOX", "[fd00::1]:22"],
  },
  {
    time: 4000,
    kind: "leak",
    verdict: "deny",
    method: "POST",
    url: "https://evil.example/",
    reason: "KEY in the body",
  },
  { time: 5000, kind: "change", verdict: "deny", secrets: ["KEY"], reason: "value replaced" },
  { time: 6000, kind: "dns", verdict: "deny", host: "\u001b]0;owned\u0007\n.example", reason: "it is no name" },
];

/** The lines without their times, which are in the time zone of whoever runs this. */
function withoutTimes(text: string): string[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => line.replace(/^\d\d:\d\d:\d\d /, ""));
}

test("the log has one line an event, and the guest's text in it is harmless", async () => {
  const runtime = fakeRuntime();
  runtime.auditEvents = EVENTS;
  const { stdout, stderr } = await net("log", ["web"], { runtime });
  assert.match(stdout, /^\d\d:\d\d:\d\d allow/);
  assert.deepEqual(withoutTimes(stdout), [
    "allow dns api.example.com",
    "allow GET https://api.example.com/v1?key 200 1.3 KiB 34ms +KEY",
    "allow tunnel db.example:5432 10 B 7ms: the upstream reset the connection",
    "deny  connection [fd00::1]:22: no rule allows [fd00::1]:22",
    "deny  leak POST https://evil.example/: KEY in the body",
    "deny  change KEY: value replaced",
    "deny  dns \\e]0;owned\\x07\\n.example: it is no name",
  ]);
  assert.equal(stderr, "");
});

test("log lines fit the terminal", async () => {
  const runtime = fakeRuntime();
  runtime.auditEvents = EVENTS;
  const { stdout } = await net("log", ["web"], { runtime, tty: { stdout: true, columns: 40 }, env: { NO_COLOR: "1" } });
  for (const line of stdout.trimEnd().split("\n")) assert.ok(line.length <= 40, line);
  assert.deepEqual(withoutTimes(stdout)[1], "allow GET https://api.example.…");
});

test("the log for programs has one object a line, with its time as ISO 8601", async () => {
  const runtime = fakeRuntime();
  runtime.auditEvents = EVENTS;
  const { stdout } = await net("log", ["web", "--json", "--denied", "-n", "2"], { runtime });
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
  assert.deepEqual(events, [
    { ...EVENTS[4], time: "1970-01-01T00:00:04.000Z" },
    { ...EVENTS[6], time: "1970-01-01T00:00:06.000Z" },
  ]);
  assert.deepEqual(runtime.calls, [{ method: "network.log", args: ["web", { follow: false, tail: 2 }] }]);
});

test("damaged lines are mentioned once, on stderr", async () => {
  const runtime = fakeRuntime();
  runtime.damagedLines = 2;
  const result = await net("log", ["web"], { runtime });
  assert.deepEqual([result.stdout, result.stderr], ["", "sbx: 2 damaged lines were left out\n"]);
});

test("Ctrl-C ends following without an error", async () => {
  const signals = new EventEmitter();
  const runtime = fakeRuntime();
  runtime.auditEvents = EVENTS.slice(0, 1);
  const following = net("log", ["web", "-f"], { runtime, signals });
  setTimeout(() => signals.emit("SIGINT"), 50);
  const result = await following;
  assert.deepEqual([withoutTimes(result.stdout), result.stderr, result.status], [["allow dns api.example.com"], "", 0]);
});

test("presets are listed, and the hosts of one printed with those of the image's package managers", async () => {
  const list = await net("presets", []);
  assert.equal(
    list.stdout,
    [
      "PRESET    WHAT IS ALLOWED WITHOUT A RULE",
      "none      nothing",
      "balanced  the hosts of a list for development",
      "open      every public host; private and local addresses stay closed",
      "",
    ].join("\n"),
  );
  const balanced = await net("presets", ["balanced"]);
  assert.match(balanced.stdout, /^# code hosting\n[a-z0-9.-]+\n/);
  assert.match(balanced.stdout, /\n\n# packages for pip\npackages\.example\n$/);
  assert.equal((await net("presets", ["open"])).stdout, "every public host; private and local addresses stay closed\n");
  const json = JSON.parse((await net("presets", ["balanced", "--json"])).stdout) as { groups: unknown[] };
  assert.deepEqual(json.groups.at(-1), { title: "packages for pip", hosts: ["packages.example"] });
  const quiet = (await net("presets", ["balanced", "--quiet"])).stdout;
  assert.ok(!quiet.includes("#") && quiet.endsWith("\npackages.example\n"));
  assert.equal((await net("presets", ["closed"])).status, 2);
});

test("a sandbox that does not exist is the same error everywhere", async () => {
  for (const [verb, argv] of [
    ["show", ["nope"]],
    ["check", ["nope", "a.example"]],
    ["allow", ["nope", "a.example"]],
    ["deny", ["nope", "a.example"]],
    ["log", ["nope"]],
  ] as const) {
    const result = await net(verb, [...argv]);
    assert.equal(result.stderr, 'sbx: no sandbox is called "nope"\n  try: sbx list\n', verb);
    assert.equal(result.status, 1);
  }
});
