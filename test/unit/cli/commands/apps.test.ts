/** `sbx app …` and `sbx deploy`: what they ask of the runtime, what they print, and how they end. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import AppCreate from "../../../../src/commands/app/create.ts";
import AppEnv from "../../../../src/commands/app/env.ts";
import AppInspect from "../../../../src/commands/app/inspect.ts";
import AppList from "../../../../src/commands/app/list.ts";
import AppLogs from "../../../../src/commands/app/logs.ts";
import AppRemove from "../../../../src/commands/app/remove.ts";
import AppRevisions from "../../../../src/commands/app/revisions.ts";
import AppUpdate from "../../../../src/commands/app/update.ts";
import LayerCreate from "../../../../src/commands/layer/create.ts";
import LayerEnv from "../../../../src/commands/layer/env.ts";
import LayerList from "../../../../src/commands/layer/list.ts";
import LayerRemove from "../../../../src/commands/layer/remove.ts";
import Deploy from "../../../../src/commands/deploy.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runApps } from "../../apps/fake-program.ts";
import { temporaryDirectory } from "../../store/temporary-directory.ts";
import { Collector, runCommand } from "../run-command.ts";

const rows = (stdout: string): string[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd().replaceAll(/ {2,}/g, "|"));

test("an app is made with its settings, listed, shown, changed and removed", async () => {
  const runtime = new FakeRuntime();
  const args = ["shop", "--entrypoint", "server.ts", "--arg", "a b", "--arg", "", "-l", "team=web"];
  const made = await runCommand(AppCreate, "app:create", args, { runtime });
  assert.deepEqual([made.status, made.stdout, made.stderr], [0, "shop\n", ""]);
  const app = await runtime.apps.get("shop");
  assert.deepEqual(app.config, { runtime: { type: "dynamic", entrypoint: "server.ts", args: ["a b", ""] } });
  const listed = await runCommand(AppList, "app:list", ["--label", "team=web"], { runtime });
  assert.deepEqual(rows(listed.stdout).slice(0, 1), ["NAME|LAYERS|VARIABLES|CHANGED|ID"]);
  assert.match(rows(listed.stdout)[1] ?? "", /^shop\|-\|0\|.* ago\|/);
  const shown = await runCommand(AppInspect, "app:inspect", ["shop"], { runtime });
  assert.ok(shown.stdout.includes("server.ts") && shown.stdout.includes("team=web"));
  await runCommand(AppUpdate, "app:update", ["shop", "--name", "store", "--static", "public", "--spa"], { runtime });
  const { config, labels } = await runtime.apps.get("store");
  assert.deepEqual([config, labels], [{ runtime: { type: "static", cwd: "public", spa: true } }, { team: "web" }]);
  const removed = await runCommand(AppRemove, "app:remove", ["store", "gone"], { runtime });
  assert.deepEqual([removed.status, removed.stdout], [1, `${app.id}\n`]);
  assert.deepEqual(await runtime.apps.list(), []);
});

test("how instances are kept is said with options and shown; what is out of bounds is a usage error", async () => {
  const runtime = new FakeRuntime();
  const args = ["shop", "--idle", "10m", "--concurrency", "100"];
  assert.equal((await runCommand(AppCreate, "app:create", args, { runtime })).status, 0);
  await runCommand(AppUpdate, "app:update", ["shop", "--instances", "5"], { runtime });
  assert.deepEqual((await runtime.apps.get("shop")).instances, { idleMs: 600_000, concurrency: 100, instances: 5 });
  const shown = await runCommand(AppInspect, "app:inspect", ["shop"], { runtime });
  assert.match(shown.stdout, /Instances +up to 5, each for 100 requests and 10m beyond the last one/);
  for (const wrong of [
    ["--idle", "9s"],
    ["--idle", "25h"],
    ["--concurrency", "0"],
    ["--instances", "21"],
  ]) {
    const { status } = await runCommand(AppUpdate, "app:update", ["shop", ...wrong], { runtime });
    assert.equal(status, 2, wrong.join(" "));
  }
});

test("options of a program that exclude each other, and a change of nothing, are usage errors", async () => {
  for (const args of [
    ["--static", ".", "--entrypoint", "a.ts"],
    ["--spa"],
    ["--framework", "nextjs", "--static", "."],
    ["--label", "team"],
  ]) {
    const { status, runtime } = await runCommand(AppCreate, "app:create", ["shop", ...args]);
    assert.deepEqual([status, await runtime.apps.list()], [2, []], args.join(" "));
  }
  assert.equal((await runCommand(AppUpdate, "app:update", ["shop"])).status, 2);
  assert.equal((await runCommand(AppCreate, "app:create", ["Shop"])).status, 2);
});

test("variables are set, removed and listed; a secret comes from stdin and is shown to nobody", async () => {
  const runtime = new FakeRuntime();
  await runtime.apps.create({ slug: "shop", env: [{ key: "OLD", value: "1" }] });
  const set = await runCommand(AppEnv, "app:env", ["shop", "A=1=2", "--remove", "OLD", "--for", "production"], {
    runtime,
  });
  assert.deepEqual([set.status, rows(set.stdout)], [0, ["NAME|VALUE|CONTEXTS", "A|1=2|production"]]);
  const secret = await runCommand(AppEnv, "app:env", ["shop", "--secret", "KEY"], { runtime, stdin: "canary\n" });
  assert.deepEqual(rows(secret.stdout).at(-1), "KEY|(secret)|all");
  const listed = await runCommand(AppEnv, "app:env", ["shop", "--json"], { runtime });
  assert.ok(!listed.stdout.includes("canary"));
  assert.deepEqual(
    (JSON.parse(listed.stdout) as { key: string; value: string | null }[]).map(({ key, value }) => [key, value]),
    [
      ["A", "1=2"],
      ["KEY", null],
    ],
  );
});

test("layers are made, filled, listed with how many apps have them, and removed when none has", async () => {
  const runtime = new FakeRuntime();
  await runCommand(LayerCreate, "layer:create", ["common", "--description", "for all"], { runtime });
  await runCommand(LayerCreate, "layer:create", ["web", "--layer", "common"], { runtime });
  const set = await runCommand(LayerEnv, "layer:env", ["common", "A=1", "--secret", "KEY"], {
    runtime,
    stdin: "canary",
  });
  assert.deepEqual(rows(set.stdout), ["NAME|VALUE|CONTEXTS", "A|1|all", "KEY|(secret)|all"]);
  await runCommand(AppCreate, "app:create", ["shop", "--layer", "web", "--layer", "common"], { runtime });
  const { stdout } = await runCommand(LayerList, "layer:list", ["for all"], { runtime });
  assert.match(rows(stdout)[1] ?? "", /^common\|1\|2\|-\|.* ago\|for all$/);
  const held = await runCommand(LayerRemove, "layer:remove", ["common"], { runtime });
  assert.deepEqual([held.status, held.stdout], [1, ""]);
  assert.match(held.stderr, /common is used by shop, web/);
  await runtime.apps.remove("shop");
  assert.equal((await runCommand(LayerRemove, "layer:remove", ["web", "common"], { runtime })).status, 0);
  const missing = await runCommand(LayerEnv, "layer:env", ["gone"], { runtime });
  assert.deepEqual([missing.status, /sbx layer list/.test(missing.stderr)], [1, true]);
});

test("a sandbox's directory goes to production, its build is told as it goes, and the app is made if need be", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime, { files: { "server.ts": "Deno.serve()" } });
  runtime.sandboxes = [sandboxInfo({ name: "box" })];
  const args = ["box", "shop", "--prod", "--no-serve", "--cwd", "site", "--entrypoint", "server.ts"];
  const { status, stdout, stderr } = await runCommand(Deploy, "deploy", args, { runtime });
  const [timeline] = await runtime.apps.timelines("shop");
  assert.deepEqual([status, stdout, timeline?.slug], [0, `${timeline?.revision}\n`, "production"]);
  assert.match(stderr, /the app shop is new/);
  assert.match(stderr, /preparing +\/home\/app\/site of sbx_loc_/);
  assert.match(stderr, /while sbx serve runs it answers as https:\/\/shop\.localhost:PORT/);
  const listed = await runCommand(AppRevisions, "app:revisions", ["shop"], { runtime });
  assert.match(rows(listed.stdout)[1] ?? "", /^[0-9a-z]{12}\|succeeded\|production\|3 B\|/);
  const log = await runCommand(AppLogs, "app:logs", ["shop", "--build", timeline?.revision ?? ""], { runtime });
  assert.match(log.stdout, /^preparing /);
});

test("a directory of this machine is deployed as it is, links as links, without its history", async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(path.join(directory, ".git"));
  mkdirSync(path.join(directory, "src"));
  writeFileSync(path.join(directory, ".git", "config"), "x");
  writeFileSync(path.join(directory, "src", "main.ts"), "Deno.serve()");
  symlinkSync("/etc/passwd", path.join(directory, "link"));
  const runtime = new FakeRuntime();
  const guest = runApps(runtime, { files: { "src/main.ts": "Deno.serve()" } });
  const args = [`${directory}/.`, "shop", "--entrypoint", "src/main.ts", "--json", "--no-serve"];
  const { status, stdout, stderr } = await runCommand(Deploy, "deploy", args, { runtime });
  assert.deepEqual([status, stderr], [0, ""]);
  assert.equal((JSON.parse(stdout) as { status: string }).status, "succeeded");
  const archive = guest.unpacked[0]?.toString("latin1") ?? "";
  assert.ok(archive.includes("src/main.ts") && archive.includes("/etc/passwd") && !archive.includes(".git/config"));
  assert.ok(!archive.includes("root:"));
  assert.deepEqual(
    (await runtime.apps.timelines("shop")).map(({ context }) => context),
    ["development"],
  );
});

test("a revision that does not come up is a failure with its reason and the way to its log", async () => {
  const runtime = new FakeRuntime();
  const guest = runApps(runtime);
  guest.isHealthy = false;
  runtime.sandboxes = [sandboxInfo({ name: "box" })];
  const { status, stdout, stderr } = await runCommand(Deploy, "deploy", ["box", "shop", "--prod"], { runtime });
  assert.deepEqual([status, stdout], [1, ""]);
  assert.match(stderr, /did not come up: the program ended before it answered a request/);
  assert.match(stderr, /sbx app logs shop --build [0-9a-z]{12}/);
});

test("lines of an app's programs are escaped, and the last of them can be asked for", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  runtime.sandboxes = [sandboxInfo({ name: "box" })];
  await runCommand(Deploy, "deploy", ["box", "shop", "--prod", "--no-serve", "-q"], { runtime });
  const line = { time: 1_700_000_000_000, source: "process" as const };
  runtime.logLines = [
    { ...line, text: "first", process: { pid: 1, stream: "stdout" } },
    { ...line, text: "\u001b[31mred", process: { pid: 1, stream: "stderr" } },
  ];
  const { stdout } = await runCommand(AppLogs, "app:logs", ["shop", "--tail", "1"], { runtime });
  assert.match(stdout, /^2023-11-14T22:13:20\.000Z [0-9a-z]{12} {2}\S*\[31mred\n$/);
  assert.ok(!stdout.includes("\u001b"));
});

test("logs are followed from the last lines on, each line once, until the user leaves", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const assets = new Map([["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve(() => 1)") }]]);
  const source = { kind: "assets" as const, assets };
  const { id } = await runtime.apps.deploy("shop", { source, production: true, preview: false });
  for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
  const say = (text: string): void => {
    const line = { time: 1_700_000_000_000, source: "process" as const, text };
    runtime.logLines = [...runtime.logLines, { ...line, process: { pid: 1, stream: "stdout" } }];
  };
  for (const text of ["first", "second"]) say(text);
  const [stdout, signals] = [new Collector(), new EventEmitter()];
  const until = async (text: string): Promise<void> => {
    while (!stdout.text.includes(text)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const following = runCommand(AppLogs, "app:logs", ["shop", "-f", "-n", "1"], { runtime, stdout, signals });
  await until("second");
  say("third");
  await until("third");
  signals.emit("SIGINT");
  assert.equal((await following).status, 0);
  const words = stdout.text
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ").at(-1));
  assert.deepEqual(words, ["second", "third"]);
});
