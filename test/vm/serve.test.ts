/** `sbx serve` in front of real machines: restarts, organisations, lifetimes. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { SdkServer } from "./support/sdk-server.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

describe("sbx serve", { timeout: 240_000 }, () => {
  let home: TestHome;
  let server: SdkServer;

  function useServer(opened: SdkServer): void {
    server = opened;
    process.env.DENO_SANDBOX_ENDPOINT = opened.url;
    process.env.DENO_DEPLOY_ENDPOINT = opened.url;
    process.env.DENO_DEPLOY_TOKEN = opened.token ?? process.env.DENO_DEPLOY_TOKEN ?? "";
  }

  before(async () => {
    home = await openTestHome();
    useServer(await SdkServer.open(home));
  });

  after(async () => {
    await server[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  test("a sandbox with a lifetime outlives a server that is killed, and one that drains; a session ends with either", async () => {
    const secrets = { KEY: { hosts: ["api.example.com"], value: "canary-value" } };
    const lasting = await Sandbox.create({ timeout: "5m", allowNet: [], secrets, env: { COLOUR: "green" } });
    assert.match(await lasting.sh`echo $COLOUR $KEY`.text(), /^green (?!canary)\S{20,}\n$/);
    await lasting.fs.writeTextFile("kept.txt", "kept");
    const session = await Sandbox.create({ allowNet: [] });
    assert.equal(await server.end("SIGKILL"), null);
    useServer(await SdkServer.open(home));
    const again = await Sandbox.connect({ id: lasting.id });
    assert.equal(await again.fs.readTextFile("kept.txt"), "kept");
    // The command line beside the server sees the same.
    while ((await home.info(session.id)).status !== "stopped") await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await home.info(lasting.id)).status, "running");
    assert.equal(await server.end("SIGTERM"), 0);
    useServer(await SdkServer.open(home));
    const third = await Sandbox.connect({ id: lasting.id });
    await third.kill();
    assert.equal((await home.info(lasting.id)).reason, "killed");
  });

  test("an organisation has machines of its own, which nobody else's token and not the command line sees", async () => {
    const token = await home.must(["token", "create", "--org", "acme", "--quiet"]);
    await using sandbox = await Sandbox.create({ token, allowNet: [] });
    assert.equal(await sandbox.sh`id -un`.text(), "app\n");
    const list = async (given?: string): Promise<string[]> =>
      (await new Client(given === undefined ? {} : { token: given }).sandboxes.list()).map(({ id }) => id);
    assert.deepEqual(await list(token), [sandbox.id]);
    assert.ok(!(await list()).includes(sandbox.id));
    await assert.rejects(Sandbox.connect({ id: sandbox.id }), { status: 404, code: "SANDBOX_NOT_FOUND" });
    assert.ok(!(await home.list()).some(({ id }) => id === sandbox.id));
  });

  test("an image that an organisation's machine stands on is not removed from under it", async () => {
    const token = await home.must(["token", "create", "--org", "acme", "--quiet"]);
    await using sandbox = await Sandbox.create({ token, allowNet: [] });
    const { status, stderr } = await home.sbx(["image", "remove", "default", "--yes"]);
    assert.equal(status, 1);
    assert.ok(stderr.includes(`${sandbox.id} of organisation acme`), stderr);
  });
});
