/** `sbx app open`: the URL of an app, whoever serves it. */
import assert from "node:assert/strict";
import path from "node:path";
import { test, type TestContext } from "node:test";
import AppOpen from "../../../../src/commands/app/open.ts";
import { recordServing } from "../../../../src/cli/serve/serving-record.ts";
import { controlPlanePath } from "../../../../src/runtime/select.ts";
import Deploy from "../../../../src/commands/deploy.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runApps } from "../../apps/fake-program.ts";
import { temporaryDirectory } from "../../store/temporary-directory.ts";
import { runCommand } from "../run-command.ts";

async function deployed(production: boolean): Promise<{ runtime: FakeRuntime; revision: string }> {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const assets = new Map([["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve(() => 1)") }]]);
  const spec = { source: { kind: "assets" as const, assets }, production, preview: !production };
  const { id } = await runtime.apps.deploy("shop", spec);
  for await (const progress of runtime.apps.revisions.progress(id)) assert.ok(progress.queued);
  return { runtime, revision: id };
}

/** A server of this machine that runs, as far as its record says. */
async function serve(t: TestContext, gateway: { domain: string; port: number } | null): Promise<void> {
  const before = process.env.XDG_STATE_HOME;
  process.env.XDG_STATE_HOME = path.join(temporaryDirectory(t), "state");
  const record = recordServing(await controlPlanePath(undefined), { url: "http://127.0.0.1:1", gateway });
  t.after(() => {
    record[Symbol.dispose]();
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
  });
}

test("an app of this machine is at the gateway of the server that runs here, a preview by its own name", async (t) => {
  await serve(t, { domain: "localhost", port: 8443 });
  const production = await deployed(true);
  const url = await runCommand(AppOpen, "app:open", ["shop", "--no-open"], { runtime: production.runtime });
  assert.deepEqual([url.status, url.stdout, url.stderr], [0, "https://shop.localhost:8443\n", ""]);
  const { runtime, revision } = await deployed(false);
  const args = ["shop", "--revision", revision, "--json"];
  const preview = await runCommand(AppOpen, "app:open", args, { runtime });
  const expected = { app: "shop", revision, url: `https://shop-${revision}.localhost:8443` };
  assert.deepEqual(JSON.parse(preview.stdout), expected);
});

test("what runs nowhere has no URL: nothing in production, an unknown revision, a server without a gateway", async (t) => {
  await serve(t, null);
  const { runtime } = await deployed(false);
  const nothing = await runCommand(AppOpen, "app:open", ["shop"], { runtime });
  assert.deepEqual([nothing.status, nothing.stdout], [2, ""]);
  assert.match(nothing.stderr, /shop has nothing in production/);
  const unknown = await runCommand(AppOpen, "app:open", ["shop", "--revision", "0"], { runtime });
  assert.equal(unknown.status, 2);
  const closed = await runCommand(AppOpen, "app:open", ["shop"], { runtime: (await deployed(true)).runtime });
  assert.deepEqual([closed.status, closed.stdout], [1, ""]);
  assert.match(closed.stderr, /no gateway/);
});

test("an app of a server is where that says, when it is deployed and later", async () => {
  const { runtime, revision } = await deployed(true);
  const [timeline] = await runtime.apps.timelines("shop");
  assert.ok(timeline !== undefined);
  runtime.apps.timelines = async () => [{ ...timeline, domains: ["shop--acme.apps.example:8443"] }];
  const { stdout } = await runCommand(AppOpen, "app:open", ["shop", "--revision", revision], { runtime });
  assert.equal(stdout, "https://shop--acme.apps.example:8443\n");
  const { revisions } = runtime.apps;
  revisions.timelines = async () => [
    { ...timeline, slug: "preview/x", domains: ["no.example"] },
    { ...timeline, domains: ["shop--acme.apps.example:8443"] },
  ];
  runtime.sandboxes.push(sandboxInfo({ name: "box" }));
  const again = await runCommand(Deploy, "deploy", ["box", "shop", "--prod", "-q"], { runtime });
  assert.equal(again.stdout, "https://shop--acme.apps.example:8443\n");
});
