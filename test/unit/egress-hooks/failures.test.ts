/** Whatever becomes of the hook process, requests fail closed, the next one finds a new process, and nothing outlives sbx. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { pauseMs } from "../../../src/egress/hooks/hook-keeper.ts";
import { HookError, type Hooks } from "../../../src/egress/hooks/hooks.ts";
import { bodyOf, HOST_SCRIPT, isRunning, NEVER, openHooks, requestHead, textOf, until } from "./hook-module.ts";

/** Does what the path names. */
const SOURCE = `
import { writeSync } from "node:fs";
const hoard: unknown[] = [];
export const onRequest = async (request: Request) => {
  switch (new URL(request.url).pathname) {
    case "/pid": return new Response(String(process.pid));
    case "/exit": process.exit(3);
    case "/crash": setTimeout(() => { throw new RangeError("out of nothing"); }); await new Promise(() => {});
    case "/rejection": Promise.reject(new Error("nobody cares")); return new Response("fine");
    case "/loop": for (;;);
    case "/slow": await new Promise(() => {});
    case "/heap": for (;;) hoard.push(Array.from({ length: 10_000 }, () => Math.random()));
    case "/buffers": for (;;) { hoard.push(Buffer.alloc(8_000_000, 1)); await new Promise(setImmediate); }
    case "/garbage": writeSync(3, Buffer.alloc(64, 0xff)); await new Promise(() => {});
    case "/frames": writeSync(3, Buffer.from([0, 0, 0, 0, 6, 0, 0, 0, 99, 0, 0, 0])); await new Promise(() => {});
    case "/close": (await import("node:fs")).closeSync(3); await new Promise(() => {});
    case "/kill": process.kill(process.pid, "SIGKILL"); await new Promise(() => {});
    case "/stream": return new Response(new ReadableStream({ start: (c) => c.enqueue(new TextEncoder().encode("a part")) }));
  }
};
`;

async function pidOf(hooks: Hooks): Promise<number> {
  return Number(await textOf((await hooks.onRequest(requestHead({ target: "/pid" }), null, NEVER)).body));
}

for (const [target, message] of [
  ["/exit", /^the hook process ended with status 3$/],
  [
    "/crash",
    /^the hook process was ended by an error that nothing caught: RangeError: out of nothing \(policy\.ts:8\)$/,
  ],
  ["/kill", /^the hook process was ended by SIGKILL$/],
  ["/heap", /^the hook process used more memory than it may \(64 MiB\)$/],
  ["/buffers", /^the hook process used more memory than it may \(64 MiB\)$/],
  ["/garbage", /^the hook process broke the protocol: /],
  ["/frames", /^the hook process broke the protocol: call 99, which never was$/],
] as const) {
  test(`after ${target} every request under way fails with the reason, and the next one finds a new process`, async () => {
    await using opened = await openHooks(SOURCE, { memoryLimitMiB: 64 });
    const { hooks, lines } = opened;
    const first = await pidOf(hooks);
    const waiting = hooks.onRequest(requestHead({ target: "/slow" }), null, NEVER);
    const culprit = hooks.onRequest(requestHead({ target }), bodyOf("body"), NEVER);
    for (const outcome of [culprit, waiting]) {
      await assert.rejects(outcome, (error: Error) => error instanceof HookError && message.test(error.message));
    }
    await until(() => hooks.trouble?.endsWith("; the next request starts it again") === true, "the state says so");
    const second = await pidOf(hooks);
    assert.equal(hooks.trouble, null);
    assert.notEqual(second, first);
    assert.ok(!isRunning(first));
    assert.ok(lines.some((line) => line.endsWith("; the next request starts it again")));
  });
}

test("a module that closes the link is given up", async () => {
  await using opened = await openHooks(SOURCE, { timeLimitMs: 1500 });
  const first = await pidOf(opened.hooks);
  await assert.rejects(opened.hooks.onRequest(requestHead({ target: "/close" }), null, NEVER), HookError);
  assert.notEqual(await pidOf(opened.hooks), first);
});

test("a hook that does not come back is over after its time; the process goes on", async () => {
  await using opened = await openHooks(SOURCE, { timeLimitMs: 300 });
  const pid = await pidOf(opened.hooks);
  await assert.rejects(opened.hooks.onRequest(requestHead({ target: "/slow" }), null, NEVER), {
    name: "HookError",
    message: "onRequest of policy.ts took longer than 0.3 s",
  });
  assert.equal(await pidOf(opened.hooks), pid);
});

test("an endless loop is over after the time, and so is its process, though nobody asks again", async () => {
  await using opened = await openHooks(SOURCE, { timeLimitMs: 500 });
  const pid = await pidOf(opened.hooks);
  await assert.rejects(opened.hooks.onRequest(requestHead({ target: "/loop" }), null, NEVER), HookError);
  await until(() => !isRunning(pid), "the looping process ends");
  await until(() => opened.lines.some((line) => line.includes("deaf for 0.5 s")), "the log says so");
  assert.notEqual(await pidOf(opened.hooks), pid);
});

test("a process that is killed in the middle of a body fails that body", async () => {
  await using opened = await openHooks(SOURCE);
  const pid = await pidOf(opened.hooks);
  const { body } = await opened.hooks.onRequest(requestHead({ target: "/stream" }), null, NEVER);
  const parts = (body as Readable).iterator() as AsyncIterator<Buffer, undefined>;
  assert.equal((await parts.next()).value?.toString(), "a part");
  process.kill(pid, "SIGKILL");
  await assert.rejects(Promise.resolve(parts.next()), {
    name: "HookError",
    message: "the hook process was ended by SIGKILL",
  });
});

test("a body that the hook has let pass does not need the process any more", async () => {
  await using opened = await openHooks(
    "export const onRequest = async (r) => { if (r.url.endsWith('/pid')) return new Response(String(process.pid)); await r.body.getReader().read(); }",
  );
  const pid = await pidOf(opened.hooks);
  const source = new Readable({ read: () => undefined });
  source.push("one ");
  const { body } = await opened.hooks.onRequest(requestHead(), source, NEVER);
  process.kill(pid, "SIGKILL");
  source.push("two");
  source.push(null);
  assert.equal(await textOf(body), "one two");
});

test("a rejected promise that nobody waits for is logged and harms nothing", async () => {
  await using opened = await openHooks(SOURCE);
  const pid = await pidOf(opened.hooks);
  const { body } = await opened.hooks.onRequest(requestHead({ target: "/rejection" }), null, NEVER);
  assert.equal(await textOf(body), "fine");
  await until(() => opened.lines.some((line) => line.includes("unhandled rejection in the hook")), "the log line");
  assert.equal(await pidOf(opened.hooks), pid);
});

test("a module that prints without end loses lines, not requests", async () => {
  await using opened = await openHooks(`
    export const onRequest = () => {
      for (let i = 0; i < 20_000; i++) console.log("line", i, "\\x1b[31m", "x".repeat(i === 5 ? 5000 : 10));
      console.error("to stderr");
      return new Response("done");
    };
  `);
  for (let round = 0; round < 3; round++) {
    assert.equal(await textOf((await opened.hooks.onRequest(requestHead(), null, NEVER)).body), "done");
  }
  await until(() => opened.lines.length > 0, "the first line");
  assert.ok(opened.lines.length < 1000, `${opened.lines.length} lines`);
  assert.equal(opened.lines[0], "line 0 \\x1b[31m xxxxxxxxxx");
  assert.ok(opened.lines.every((line) => line.length <= 2010 && !line.includes("\x1b")));
});

for (const [name, source, message] of [
  [
    "does not parse",
    "export const onRequest = () => {\n  return 1 +;\n};",
    /policy\.ts cannot be used: SyntaxError: Expression expected \(.*policy\.ts:2\)$/,
  ],
  [
    "uses what cannot be stripped",
    "\nexport enum A { B }",
    /TypeScript enum is not supported in strip-only mode \(.*policy\.ts:2\)$/,
  ],
  ["throws", "\n\nthrow new Error('at the top');", /policy\.ts cannot be used: Error: at the top \(.*policy\.ts:3\)$/],
  [
    "imports what is not there",
    "import './nowhere.ts';",
    /Cannot find module '.*nowhere\.ts' imported from .*policy\.ts$/,
  ],
  ["exports no hook", "export const onrequest = () => {};", /the module exports neither onRequest nor onResponse$/],
  ["exports something else", "export const onRequest = {};", /onRequest is no function$/],
  ["ends the process", "process.exit(0);", /cannot be used: the hook process ended with status 0$/],
  ["never ends", "for (;;);", /loading the hook .*policy\.ts took longer than 2 s$/],
] as const) {
  test(`a module that ${name} stops the start with the place`, async () => {
    const code = { code: "config_invalid", exitCode: 2, message };
    await assert.rejects(openHooks(source, { startTimeLimitMs: 2000 }), code);
  });
}

test("a module that is not there stops the start", async () => {
  await assert.rejects(openHooks(null, { modulePath: "/nowhere/policy.ts" }), {
    code: "config_invalid",
    message: "the hook /nowhere/policy.ts cannot be read",
  });
});

test("JavaScript modules of either kind work, a syntax error of theirs has its place too", async () => {
  for (const [name, source] of [
    ["a.mjs", "export default { onRequest: () => new Response('js') };"],
    ["b.cjs", "module.exports = { onRequest: () => new Response('js') };"],
  ] as const) {
    const directory = mkdtempSync(path.join(tmpdir(), "sbx-hooks-"));
    writeFileSync(path.join(directory, name), source);
    await using opened = await openHooks(null, { modulePath: path.join(directory, name) });
    assert.equal(await textOf((await opened.hooks.onRequest(requestHead(), null, NEVER)).body), "js");
    writeFileSync(path.join(directory, "c.mjs"), "\nexport function onRequest( {");
    await assert.rejects(openHooks(null, { modulePath: path.join(directory, "c.mjs") }), /SyntaxError: .*c\.mjs:2\)$/);
    rmSync(directory, { recursive: true });
  }
});

test("a head that does not fit a message is refused, and nothing else", async () => {
  await using opened = await openHooks("export const onRequest = () => new Response('seen')");
  const head = requestHead({ fields: [["x-large", "x".repeat(2_000_000)]] });
  await assert.rejects(opened.hooks.onRequest(head, null, NEVER), {
    name: "HookError",
    message: "onRequest of policy.ts: the head is too large",
  });
  assert.equal(await textOf((await opened.hooks.onRequest(requestHead(), null, NEVER)).body), "seen");
});

test("a Node that is not there stops the start", async () => {
  await assert.rejects(openHooks("", { nodePath: "/nowhere/node" }), {
    code: "internal",
    message: "the hook process cannot be started",
  });
});

test("without a module and rules there is no process and nothing changes", async () => {
  await using opened = await openHooks(null, { nodePath: "/nowhere/node" });
  const head = requestHead();
  const body = bodyOf("x");
  assert.deepEqual(await opened.hooks.onRequest(head, body, NEVER), { kind: "forward", head, body });
  assert.equal(opened.hooks.onRequestDefined || opened.hooks.onResponseDefined, false);
});

test("closing ends the process, what it started, and every request", async () => {
  const opened = await openHooks(`
    import { spawn } from "node:child_process";
    const child = spawn("sleep", ["1000"], { stdio: "inherit" });
    export const onRequest = async (request) => {
      if (request.url.endsWith("/pids")) return Response.json([process.pid, child.pid]);
      await new Promise(() => {});
    };
  `);
  const { body } = await opened.hooks.onRequest(requestHead({ target: "/pids" }), null, NEVER);
  const pids = JSON.parse((await textOf(body)) ?? "") as number[];
  const waiting = opened.hooks.onRequest(requestHead(), null, NEVER);
  const rejected = assert.rejects(waiting, HookError);
  await opened[Symbol.asyncDispose]();
  await rejected;
  for (const pid of pids) await until(() => !isRunning(pid), `process ${pid} ends`);
  await assert.rejects(opened.hooks.onRequest(requestHead(), null, NEVER), /the hooks are closed/);
});

for (const state of ["idle", "in an endless loop"]) {
  test(`a hook process that is ${state} ends with a supervisor that is killed`, async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "sbx-hooks-"));
    const pidFile = path.join(directory, "pid");
    writeFileSync(
      path.join(directory, "policy.ts"),
      `import { writeFileSync } from "node:fs";
       export const onRequest = () => { writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); ${state === "idle" ? "" : "for (;;);"} };`,
    );
    const supervisor = spawn(
      process.execPath,
      [
        "--input-type=module-typescript",
        "--eval",
        `import { startHooks } from ${JSON.stringify(path.resolve("src/egress/hooks/start-hooks.ts"))};
         const hooks = await startHooks({
           modulePath: ${JSON.stringify(path.join(directory, "policy.ts"))}, expressions: [], sandbox: { id: "i", name: "n" },
           nodePath: process.execPath, scriptPath: ${JSON.stringify(HOST_SCRIPT)}, log: () => {},
         });
         const head = { method: "GET", scheme: "https", host: "a.example.com", port: 443, target: "/", fields: [] };
         await hooks.onRequest(head, null, new AbortController().signal);`,
      ],
      { stdio: "inherit" },
    );
    await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "", "the hook is called");
    const pid = Number(readFileSync(pidFile, "utf8"));
    supervisor.kill("SIGKILL");
    await once(supervisor, "exit");
    await until(() => !isRunning(pid), "the hook process ends");
    rmSync(directory, { recursive: true });
  });
}

test("a process that does not last is started ever more slowly, but always again", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 7, 8, 1000].map(pauseMs), [0, 0, 100, 200, 400, 3200, 5000, 5000]);
});
