/** `sbx app promote` and `sbx app rollback`: what production is, and what it was. */
import assert from "node:assert/strict";
import { test } from "node:test";
import AppPromote from "../../../../src/commands/app/promote.ts";
import AppRollback from "../../../../src/commands/app/rollback.ts";
import { FakeRuntime } from "../../../fake-runtime.ts";
import { runApps } from "../../apps/fake-program.ts";
import { runCommand } from "../run-command.ts";

async function deploy({ apps }: FakeRuntime, production: boolean): Promise<string> {
  const assets = new Map([["main.ts", { kind: "file" as const, content: Buffer.from("Deno.serve(() => 1)") }]]);
  const { id } = await apps.deploy("shop", { source: { kind: "assets", assets }, production, preview: !production });
  for await (const progress of apps.revisions.progress(id)) assert.ok(progress.queued);
  return id;
}

test("a preview is promoted, and production rolled back to what it was; each says what it is now", async () => {
  const runtime = new FakeRuntime();
  runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const [first, preview] = [await deploy(runtime, true), await deploy(runtime, false)];
  const promoted = await runCommand(AppPromote, "app:promote", ["shop", preview], { runtime });
  assert.deepEqual([promoted.status, promoted.stdout], [0, `${preview}\n`]);
  const back = await runCommand(AppRollback, "app:rollback", ["shop", "--json"], { runtime });
  assert.deepEqual(JSON.parse(back.stdout), { app: "shop", revision: first });
  assert.equal((await runtime.apps.timelines("shop")).find(({ slug }) => slug === "production")?.revision, first);
});

test("what does not come up is no production, and says why; nothing to go back to is a usage error", async () => {
  const runtime = new FakeRuntime();
  const guest = runApps(runtime);
  await runtime.apps.create({ slug: "shop" });
  const first = await deploy(runtime, true);
  const nothing = await runCommand(AppRollback, "app:rollback", ["shop"], { runtime });
  assert.equal(nothing.status, 2);
  assert.match(nothing.stderr, /shop has had no other revision in production/);
  const preview = await deploy(runtime, false);
  guest.isHealthy = false;
  const refused = await runCommand(AppPromote, "app:promote", ["shop", preview], { runtime });
  assert.notEqual(refused.status, 0);
  assert.match(refused.stderr, /the program ended before it answered a request/);
  assert.equal((await runtime.apps.timelines("shop")).find(({ slug }) => slug === "production")?.revision, first);
});
