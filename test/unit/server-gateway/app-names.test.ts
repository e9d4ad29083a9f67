/** Names of apps at the gateway: which there are, whose they are, and what is told of the others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { APP_SLUG } from "../../../src/protocol/app-values.ts";
import type { DeployAsset } from "../../../src/runtime/apps.ts";
import { AppNames, appLabel, readAppLabel } from "../../../src/server/gateway/app-names.ts";
import { openServerLog } from "../../../src/server/server-log.ts";
import { SCOPES } from "../../../src/server/tokens/token-format.ts";
import { TokenStore } from "../../../src/server/tokens/token-store.ts";
import { sandboxInfo, type FakeRuntime } from "../../fake-runtime.ts";
import { runApps } from "../apps/fake-program.ts";
import { openGatewayBench } from "./gateway-bench.ts";

const MAIN = new Map<string, DeployAsset>([["main.ts", { kind: "file", content: Buffer.from("x") }]]);

/** Deploys to a new app, and returns the revision. */
async function deploy({ apps }: FakeRuntime, slug: string, preview = false): Promise<string> {
  await apps.create({ slug });
  const source = { kind: "assets" as const, assets: MAIN };
  const { id } = await apps.deploy(slug, { source, production: true, preview });
  for await (const progress of apps.revisions.progress(id)) assert.ok(progress.queued);
  return id;
}

test("an app is found by its slug, a preview by its revision, and another organisation's by its name behind two dashes", async (t) => {
  const bench = await openGatewayBench(t);
  const acme = bench.organisations.of("acme");
  for (const runtime of [bench.runtime, acme]) runApps(runtime);
  const revision = await deploy(bench.runtime, "my-app", true);
  await deploy(acme, "their-app");
  using tokens = TokenStore.open(bench.directory);
  const life = { createdAt: Date.now(), expiresAt: null };
  tokens.create({ ...{ name: null, kind: "organisation", organisations: ["acme"], scopes: [...SCOPES] }, ...life });
  assert.equal((await bench.ask("my-app.localhost")).text, "hi");
  assert.equal((await bench.ask(`my-app-${revision}.localhost`)).text, "hi");
  assert.equal((await bench.ask("their-app--acme.localhost")).text, "hi");
  const never = await bench.ask("never-was.localhost");
  assert.equal(never.status, 404);
  for (const name of ["their-app", "my-app-000000000000", "my-app--nobody", "my-app--local", "my-app--acme", "other"]) {
    const { status, text } = await bench.ask(`${name}.localhost`);
    assert.deepEqual([status, text], [404, never.text], name);
  }
  assert.ok(!bench.organisations.opened.includes("nobody"));
});

test("an app that does not run is started by who asks for it, and is busy where its organisation has no room", async (t) => {
  const bench = await openGatewayBench(t);
  const { runtime } = bench;
  const guest = runApps(runtime);
  await deploy(runtime, "my-app");
  const lose = (): void => {
    for (const info of runtime.sandboxes) runtime.stop(info, "expired");
  };
  lose();
  assert.equal((await bench.ask("my-app.localhost")).text, "hi");
  assert.equal(runtime.sandboxes.filter(({ status }) => status === "running").length, 1);
  lose();
  runtime.sandboxes.push(
    ...Array.from({ length: 5 }, (_, at) => sandboxInfo({ id: `sbx_loc_0000000000000000000${at}` })),
  );
  assert.equal((await bench.ask("my-app.localhost")).status, 503);
  assert.ok(guest.requests > 0);
});

test("one that does not come up any more is not tried again and again", async (t) => {
  const bench = await openGatewayBench(t);
  const { runtime } = bench;
  const guest = runApps(runtime);
  await deploy(runtime, "my-app");
  for (const info of runtime.sandboxes) runtime.stop(info, "expired");
  guest.isHealthy = false;
  const made = (): number => runtime.calls.filter(({ method }) => method === "create").length;
  const before = made();
  for (let at = 0; at < 5; at++) {
    const { status, text } = await bench.ask("my-app.localhost");
    assert.deepEqual([status, (JSON.parse(text) as { code: string }).code], [503, "not_up"]);
  }
  assert.equal(made(), before + 1);
  assert.deepEqual(
    runtime.sandboxes.filter(({ status }) => status === "running"),
    [],
  );
});

test("connections of an app are counted together, however many apps strangers make up meanwhile", () => {
  const names = new AppNames({
    tenants: { open: async () => Promise.reject(new Error("nobody is asked")) },
    ...{ isOrganisation: () => true, log: openServerLog(process.stderr, () => Date.now()) },
  });
  const popular = names.find("popular");
  for (let at = 0; at < 5000; at++) names.find(`made-up-${at}`);
  assert.ok(popular !== undefined && names.find("popular") === popular);
  assert.equal(names.isEstablished("popular"), false);
});

test("a label says one thing, whatever the slug, the organisation and the revision are called", () => {
  const slug = fc.stringMatching(/^[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?$/).filter((text) => APP_SLUG.test(text));
  const organisation = fc.oneof(fc.constant("local"), fc.stringMatching(/^[a-z0-9](?:[a-z0-9-]{0,10}[a-z0-9])?$/));
  const revision = fc.option(fc.stringMatching(/^[0-9a-hjkmnp-z]{12}$/), { nil: undefined });
  fc.assert(
    fc.property(slug, organisation, revision, (app, of, id) => {
      const address = id === undefined ? { app } : { app, revision: id };
      const place = readAppLabel(appLabel(of, address) ?? "");
      assert.equal(place?.organisation, of);
      assert.deepEqual(
        place.addresses.filter((one) => one.app === app && one.revision === id),
        [address],
      );
    }),
  );
  assert.equal(appLabel("o".repeat(40), { app: "a".repeat(30) }), undefined);
});
