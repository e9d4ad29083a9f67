/**
 * Apps end to end: the official SDK deploys a sandbox's directory and assets through `sbx serve`, and what was deployed
 * answers behind the gateway, each in a machine of its own.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { Client, Sandbox, type Revision, type Timeline } from "@deno/sandbox";
import { SdkBench } from "./support/sdk-bench.ts";

const SERVER = `
  const name = Deno.env.get("NAME");
  Deno.serve((request) => {
    console.log("asked for " + new URL(request.url).pathname);
    return new Response(name + " " + Deno.args.join(" "));
  });
`;

describe("apps", { timeout: 280_000 }, () => {
  let bench: SdkBench;
  let client: Client;

  before(async () => {
    bench = await SdkBench.open();
    client = new Client();
  });

  after(async () => {
    await bench[Symbol.asyncDispose]();
  });

  async function ask(label: string, path = "/"): Promise<{ status: number; body: string }> {
    const { domain, port, certificate } = bench.server.gateway;
    const host = `${label}.${domain}`;
    const ca = readFileSync(certificate ?? "");
    const options = {
      host: "127.0.0.1",
      port,
      path,
      servername: host,
      ca,
      headers: { host: `${host}:${port}` },
      agent: false,
    };
    return new Promise((resolve, reject) => {
      request(options, (response) => {
        text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
      })
        .once("error", reject)
        .end();
    });
  }

  test("a sandbox's directory is deployed, answers under its app's name, and says what it does in the app's logs", async () => {
    const app = await client.apps.create({ slug: "my-app", env_vars: [{ key: "NAME", value: "production" }] });
    await using sandbox = await Sandbox.create({ timeout: "10m" });
    await sandbox.fs.mkdir("site");
    await sandbox.fs.writeTextFile("site/server.ts", SERVER);
    const build = await sandbox.deploy(app.slug, {
      path: "site",
      production: true,
      build: { entrypoint: "server.ts", args: ["start"] },
    });
    const messages: string[] = [];
    for await (const { message } of build.logs()) messages.push(message);
    const { status, timelines } = (await build.done) as Revision & { timelines: Timeline[] };
    assert.equal(status, "succeeded", messages.join("\n"));
    assert.deepEqual(
      timelines.map(({ slug }) => slug),
      ["production"],
    );
    const { domain, port } = bench.server.gateway;
    assert.deepEqual(timelines[0]?.domains, [{ domain: `my-app.${domain}:${port}` }]);
    assert.deepEqual(await ask("my-app", "/first"), { status: 200, body: "production start" });
    assert.equal((await ask("no-app")).status, 404);
    const start = new Date(Date.now() - 600_000).toISOString();
    const said = async () => (await client.apps.logs("my-app", { start, query: "asked for /first" })).items;
    // What a program says is on its way for a moment.
    let items = await said();
    while (items.length === 0) items = await said();
    assert.deepEqual(
      items.map(({ message, revision_id: revision }) => [message, revision]),
      [["asked for /first", build.id]],
    );
    await sandbox.kill();
  });

  test("assets are deployed as a preview with its own variables; one that does not come up changes nothing", async () => {
    const assets = {
      "app.py": {
        kind: "file" as const,
        content: [
          "import http.server, os",
          "class Handler(http.server.BaseHTTPRequestHandler):",
          "    def do_GET(self):",
          "        self.send_response(200)",
          "        self.end_headers()",
          "        self.wfile.write(os.environ['NAME'].encode())",
          "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()",
        ].join("\n"),
      },
    };
    const config = { runtime: { type: "dynamic" as const, entrypoint: "app.py" } };
    const init = { assets, config, production: false, preview: true, env_vars: [{ key: "NAME", value: "preview" }] };
    const { id } = await client.apps.deploy("my-app", init);
    for await (const progress of client.revisions.progress(id)) assert.ok(progress.queued);
    assert.equal((await client.revisions.get(id))?.status, "succeeded");
    assert.equal((await ask(`my-app-${id}`)).body, "preview");
    const broken = { "main.ts": { kind: "file" as const, content: "throw new Error('does not come up')" } };
    const failed = await client.apps.deploy("my-app", { assets: broken });
    const log: string[] = [];
    for await (const { message } of client.revisions.buildLogs(failed.id)) log.push(message);
    assert.deepEqual((await client.revisions.get(failed.id))?.status, "failed");
    assert.match(log.join("\n"), /the program ended before it answered a request(.|\n)*does not come up/);
    assert.equal((await ask("my-app")).body, "production start");
  });

  test("an app whose instance is gone is started by who asks for it, once for all of them", async () => {
    for (const { id, status } of await client.sandboxes.list()) {
      if (status === "running") await bench.home.must(["kill", id]);
    }
    const answers = await Promise.all(Array.from({ length: 5 }, async () => ask("my-app")));
    // Whoever would wait too long is told to come back.
    while ((await ask("my-app")).status !== 200);
    assert.ok(answers.every(({ status }) => status === 200 || status === 504));
    const running = (await client.sandboxes.list()).filter(({ status }) => status === "running");
    assert.equal(running.length, 1);
    await client.apps.delete("my-app");
    assert.equal((await ask("my-app")).status, 404);
    assert.deepEqual(
      (await client.sandboxes.list()).filter(({ status }) => status === "running"),
      [],
    );
  });
});
