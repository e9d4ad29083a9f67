/**
 * Apps that scale to zero: one that nobody uses has no machine, and goes on from the memory of its own warmed process when
 * somebody asks for it.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { request, type Agent } from "node:https";
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
    const begun = performance.now();
    const answers = await Promise.all(Array.from({ length: 50 }, async () => ask("/woken")));
    process.stderr.write(`fifty after ${Math.round(performance.now() - begun)} ms\n`);
    assert.ok(answers.every(({ status, body }) => status === 200 && body.born === first.body.born));
    assert.equal(new Set(answers.map(({ body }) => body.asked)).size, 50);
    assert.ok(answers.every(({ body }) => body.asked > first.body.asked));
    assert.equal((await running()).length, 1);
    const said = await bench.home.must(["app", "logs", "waker"]);
    assert.equal(said.split("\n").filter((line) => line.includes("asked for /woken")).length, 50);
  });
});

const NOBODY = { born: "", asked: -1, revision: "" };
