/**
 * kill -9 of the server, and its orderly end, in the middle of what it does for the official SDK. The next server finds what
 * has a lifetime, a session is over, a snapshot is whole or not there, and nothing else is left. The moments follow a seed:
 * set SBX_TEST_SEED to repeat a run.
 */
import assert from "node:assert/strict";
import { after, before, describe, mock, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Sandbox } from "@deno/sandbox";
import { eventually, untilClean } from "./support/leftovers.ts";
import { SdkServer } from "./support/sdk-server.ts";
import { seededRandom, testSeed } from "./support/seeded-random.ts";
import { openTestHome, type TestHome } from "./support/test-home.ts";

const seed = testSeed();
const random = seededRandom(seed);

describe(`sbx serve that is ended (seed ${seed})`, { timeout: 300_000 }, () => {
  let home: TestHome;
  let server: SdkServer;

  async function openServer(): Promise<void> {
    server = await SdkServer.open(home);
    process.env.DENO_SANDBOX_ENDPOINT = server.url;
    process.env.DENO_DEPLOY_ENDPOINT = server.url;
    process.env.DENO_DEPLOY_TOKEN = server.token ?? process.env.DENO_DEPLOY_TOKEN ?? "";
  }

  /** Ids of what runs, after the next command has looked. */
  async function running(): Promise<string[]> {
    return (await home.list()).filter(({ status }) => status === "running").map(({ id }) => id);
  }

  before(async () => {
    // The SDK reports there what is meant to happen here.
    for (const method of ["error", "debug"] as const) mock.method(console, method, () => undefined);
    home = await openTestHome();
    await openServer();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  test("kill -9 while sandboxes are made leaves whole ones with a lifetime, which the next server ends, and nothing else", async () => {
    for (const delayMs of [50, 400, 900].map((ms) => ms + Math.floor(random() * 200))) {
      const lasting = Sandbox.create({ timeout: "5m", allowNet: [] });
      const session = Sandbox.create({ allowNet: [] });
      const outcomes = Promise.allSettled([lasting, session]);
      await sleep(delayMs);
      assert.equal(await server.end("SIGKILL"), null);
      await outcomes;
      await openServer();
      // What a server has just begun is given up by the next command, or becomes whole by itself.
      await eventually(async () => {
        const infos = (await home.list()).filter(({ status }) => status !== "stopped" && status !== "failed");
        assert.ok(infos.every(({ status, expiresAt }) => status === "running" && expiresAt !== null));
      });
      for (const id of await running()) {
        const sandbox = await Sandbox.connect({ id });
        assert.equal(await sandbox.sh`echo whole`.text(), "whole\n");
        await sandbox.kill();
      }
      await assertClean();
    }
  });

  /** Of sandboxes there is nothing; the server is there. */
  async function assertClean(): Promise<void> {
    await eventually(async () => {
      assert.deepEqual(await running(), []);
      assert.deepEqual(
        (await new Client().sandboxes.list()).filter(({ status }) => status === "running"),
        [],
      );
    });
  }

  /** The program in it goes on. */
  async function assertCounts(sandbox: Sandbox): Promise<void> {
    let first = 0;
    await eventually(async () => {
      const count = Number(await sandbox.fs.readTextFile("/tmp/count"));
      first ||= count;
      assert.ok(count > first);
    });
  }

  test("a stream is told of an orderly end, a program outlives every end of the server, and a session none", async () => {
    const sandbox = await Sandbox.create({ timeout: "5m", allowNet: [] });
    const counter = "i=0; while :; do i=$((i+1)); echo $i; echo $i > /tmp/count; sleep 0.05; done";
    const child = await sandbox.spawn("sh", { args: ["-c", counter], stdout: "piped" });
    const session = await Sandbox.create({ allowNet: [] });
    let lines = "";
    const reading = (async () => {
      for await (const chunk of child.stdout ?? []) lines += Buffer.from(chunk).toString();
    })();
    const outcome = reading.then(
      () => "ended",
      (error: unknown) => String(error),
    );
    await eventually(() => assert.match(lines, /^1\n2\n/));
    assert.equal(await server.end("SIGTERM"), 0);
    assert.match(await outcome, /the client hung up/);
    await openServer();
    assert.deepEqual(await running(), [sandbox.id]);
    const again = await Sandbox.connect({ id: sandbox.id });
    await assertCounts(again);
    // In the middle of a stream, and then again: what is killed can tell nobody.
    const output = again.sh`cat /dev/zero`.stdout("piped").spawn();
    output.catch(() => undefined);
    await sleep(100);
    assert.equal(await server.end("SIGKILL"), null);
    await openServer();
    const third = await Sandbox.connect({ id: sandbox.id });
    await assertCounts(third);
    await assert.rejects(Sandbox.connect({ id: session.id }), { status: 404 });
    await third.kill();
    await assertClean();
  });

  test("kill -9 while a snapshot is taken leaves a whole one, or none and its name free", async () => {
    const volume = await new Client().volumes.create({ slug: "data", region: "loc", capacity: "1GB" });
    const maker = await Sandbox.create({ allowNet: [], volumes: { "/data": volume.slug } });
    const sum = await maker.sh`head -c 20000000 /dev/urandom > /data/file && sync && sha256sum < /data/file`.text();
    await maker.close();
    await eventually(async () => assert.deepEqual(await running(), []));
    let whole = "";
    for (let round = 0; round < 4; round++) {
      const slug = `shot-${round}`;
      const taken = new Client().volumes.snapshot(volume.id, { slug }).catch(() => undefined);
      await sleep(Math.floor(random() * 60));
      assert.equal(await server.end("SIGKILL"), null);
      await taken;
      await openServer();
      const client = new Client();
      const found = await client.snapshots.get(slug);
      whole = (found ?? (await client.volumes.snapshot(volume.id, { slug }))).slug;
    }
    assert.equal((await new Client().volumes.get("data"))?.id, volume.id);
    await new Client().volumes.create({ slug: "again", region: "loc", capacity: "1GB", from: whole });
    const reader = await Sandbox.create({ allowNet: [], volumes: { "/data": "again" } });
    assert.equal(await reader.sh`sha256sum < /data/file`.text(), sum);
    await reader.close();
  });

  test("in the end no process, socket, disk or row is left but the server's own", async () => {
    assert.equal(await server.end("SIGTERM"), 0);
    await untilClean(home, { look: async () => home.must(["list", "--quiet"]) });
    const { removed } = JSON.parse(await home.must(["prune", "--dry-run", "--json"])) as {
      removed: { kind: string }[];
    };
    // Records of what is over, and templates of the machine's own that this home was given.
    assert.deepEqual(
      removed.filter(({ kind }) => kind !== "sandbox" && kind !== "template"),
      [],
    );
  });
});
