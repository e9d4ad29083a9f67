/**
 * Apps that scale to zero: one that nobody uses has no machine, and goes on from the memory of its own warmed process when
 * somebody asks for it.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import path from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@deno/sandbox";
import { SdkBench } from "./support/sdk-bench.ts";

/** Says who it is: what it made up when it started, and how many it has answered since. */
const SERVER = `
  const born = crypto.randomUUID();
  let asked = 0;
  Deno.serve((request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/end") Deno.exit(1);
    if (pathname !== "/") console.log("asked for " + pathname);
    return Response.json({ born, asked: asked++, revision: Deno.env.get("DENO_DEPLOYMENT_ID") });
  });
`;

interface Answer {
  status: number;
  body: { born: string; asked: number; revision: string };
}

describe("apps that scale to zero", { timeout: 280_000 }, () => {
  let bench: SdkBench;
  let client: Client;

  before(async () => {
    bench = await SdkBench.open();
    client = new Client();
  });

  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  async function ask(pathname = "/", agent: Agent | false = false): Promise<Answer> {
    const { domain, port, certificate } = bench.server.gateway;
    const host = `waker.${domain}`;
    const ca = readFileSync(certificate ?? "");
    const headers = { host: `${host}:${port}` };
    const options = { host: "127.0.0.1", port, path: pathname, servername: host, ca, headers, agent };
    return new Promise((resolve, reject) => {
      request(options, (response) => {
        text(response).then((body) => {
          const { statusCode: status = 0 } = response;
          resolve({ status, body: status === 200 ? (JSON.parse(body) as Answer["body"]) : { ...NOBODY } });
        }, reject);
      })
        .once("error", reject)
        .end();
    });
  }

  async function running(): Promise<string[]> {
    const all = await client.sandboxes.list();
    return all.filter(({ status }) => status === "running").map(({ id }) => id);
  }

  /** Until as many memories are kept. */
  async function untilKept(count: number): Promise<void> {
    const kept = path.join(bench.home.paths.dataPath, "checkpoints");
    const records = (): number =>
      existsSync(kept) ? readdirSync(kept).filter((id) => existsSync(path.join(kept, id, "machine.json"))).length : 0;
    while (records() < count) await sleep(50);
    // A request before the server has heard of its end would have the memory thrown away: it might be in it.
    await sleep(1000);
  }

  test("one that nobody uses goes on where its process was, once for fifty who ask at once", async () => {
    await client.apps.create({ slug: "waker" });
    const assets = { "main.ts": { kind: "file" as const, content: SERVER } };
    const { id } = await client.apps.deploy("waker", { assets, production: true });
    for await (const progress of client.revisions.progress(id)) assert.ok(progress.queued);
    const first = await ask();
    assert.deepEqual([first.status, first.body.revision], [200, id]);
    await untilKept(1);
    assert.deepEqual(JSON.parse(await bench.home.must(["checkpoint", "list", "--json"])), []);
    const [warmed] = await running();
    await bench.home.must(["kill", warmed ?? ""]);
    const answers = await Promise.all(Array.from({ length: 50 }, async () => ask("/woken")));
    assert.ok(answers.every(({ status, body }) => status === 200 && body.born === first.body.born));
    assert.equal(new Set(answers.map(({ body }) => body.asked)).size, 50);
    assert.ok(answers.every(({ body }) => body.asked > first.body.asked));
    assert.equal((await running()).length, 1);
    const said = await bench.home.must(["app", "logs", "waker"]);
    assert.equal(said.split("\n").filter((line) => line.includes("asked for /woken")).length, 50);
  });

  test("a supervisor that is killed, and a program that ends, are found out and made up for by the next request", async () => {
    const before = await ask();
    const [id = ""] = await running();
    const { supervisorPid } = await bench.home.info(id);
    process.kill(supervisorPid ?? 0, "SIGKILL");
    const { body } = await untilAnswered();
    assert.equal(body.revision, before.body.revision);
    await ask("/end").catch(() => undefined);
    // What ends as soon as it goes on is started from its files.
    assert.notEqual((await untilAnswered()).body.born, body.born);
  });

  test("neither a switch nor a rollback fails a request of clients that keep their connections", async () => {
    const first = await ask();
    const stop = new AbortController();
    const seen: Answer[] = [];
    const load = Array.from({ length: 4 }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (!stop.signal.aborted) {
        seen.push(await ask("/", agent));
        await sleep(5);
      }
      agent.destroy();
    });
    const assets = { "main.ts": { kind: "file" as const, content: SERVER } };
    const { id } = await client.apps.deploy("waker", { assets, production: true });
    for await (const progress of client.revisions.progress(id)) assert.ok(progress.queued);
    await untilSeen(id);
    assert.equal(await bench.home.must(["app", "rollback", "waker"]), first.body.revision);
    await untilSeen(first.body.revision);
    stop.abort();
    await Promise.all(load);
    const failed = seen.filter(({ status }) => status !== 200);
    assert.deepEqual([failed.length, seen.length > 50], [0, true]);
    const order = seen.map(({ body }) => body.revision).filter((revision, at, all) => revision !== all[at - 1]);
    assert.deepEqual(order, [first.body.revision, id, first.body.revision]);

    async function untilSeen(revision: string): Promise<void> {
      while (seen.at(-1)?.body.revision !== revision) await sleep(5);
    }
  });

  /** A machine that is gone without a word is noticed with a moment's delay. */
  async function untilAnswered(): Promise<Answer> {
    for (;;) {
      const answer = await ask().catch(() => undefined);
      if (answer?.status === 200) return answer;
      await sleep(20);
    }
  }
});

const NOBODY = { born: "", asked: -1, revision: "" };
