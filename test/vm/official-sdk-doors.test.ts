/**
 * The npm package `@deno/sandbox`, unmodified, against `sbx serve`: what of a sandbox others can reach. The examples are
 * programs of their own, set up by the lines that `sbx serve` prints: their `fetch` trusts the gateway and finds it.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { runHost } from "./support/program.ts";
import { SdkBench } from "./support/sdk-bench.ts";

const LISTEN = ["--gateway-listen", "127.0.0.1:0", "--ssh-listen", "127.0.0.1:0"];

describe("the official SDK: doors", { timeout: 240_000 }, () => {
  let bench: SdkBench;

  before(async () => {
    bench = await SdkBench.open(LISTEN);
  });

  after(async () => bench[Symbol.asyncDispose]());

  /** What the program logs as JSON. */
  async function run(source: string): Promise<unknown> {
    const { status, stdout, stderr } = await bench.program(`import { Sandbox } from "@deno/sandbox";\n${source}`);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  async function get(url: string): Promise<{ status: number; text: string }> {
    const answer = await run(`
      const response = await fetch(${JSON.stringify(url)});
      const { status } = response;
      console.log(JSON.stringify({ status, text: status === 503 ? "" : await response.text() }));
    `);
    return answer as { status: number; text: string };
  }

  test("a web framework's server in the sandbox is exposed by its port, and fetched from here", async () => {
    const found = await run(`
      await using sandbox = await Sandbox.create({ allowNet: [] });
      await sandbox.fs.writeTextFile("package.json", JSON.stringify({ private: true, type: "module" }));
      await sandbox.fs.writeTextFile("server.js", \`
        import { createServer } from "node:http";
        createServer((request, response) => {
          response.setHeader("content-type", "application/json");
          response.end(JSON.stringify({ now: new Date().toISOString(), url: request.url, host: request.headers.host }));
        }).listen(3000);
      \`);
      const server = await sandbox.deno.run({ entrypoint: "server.js", stdout: "null", stderr: "null" });
      await server.httpReady;
      const publicUrl = await sandbox.exposeHttp({ port: 3000 });
      const response = await fetch(publicUrl + "/time?q=1");
      const again = await sandbox.exposeHttp({ port: 3000 });
      console.log(JSON.stringify({ publicUrl, again, answer: await response.json() }));
    `);
    const { publicUrl, again, answer } = found as Record<string, string> & { answer: Record<string, string> };
    const { port, domain } = bench.server.gateway;
    assert.match(String(publicUrl), new RegExp(`^https://[a-z0-9-]{20,}\\.${domain}:${port}$`));
    assert.notEqual(again, publicUrl);
    assert.match(String(answer.now), /^\d{4}-/);
    assert.equal(answer.url, "/time?q=1");
    // The sandbox is gone, and its URL with it.
    const gone = await bench.program(`console.log((await fetch(${JSON.stringify(publicUrl)})).status)`);
    assert.match(gone.stdout, /^404\n$/);
  });

  test("a sandbox that is made with a port has a URL before anything listens there, and a process is exposed by its pid", async () => {
    await using sandbox = await Sandbox.create({ port: 8000, allowNet: [] });
    const url = sandbox.url ?? "";
    assert.equal((await get(url)).status, 503);
    await sandbox.fs.writeTextFile("main.ts", "export default { fetch: () => new Response('Hello from the sandbox') }");
    const quiet = { stdout: "null", stderr: "null" } as const;
    await sandbox.spawn("deno", {
      args: ["serve", "--watch", "--port", "8000", "main.ts"],
      ...quiet,
    });
    let answer = await get(url);
    while (answer.status === 503) answer = await get(url);
    assert.deepEqual(answer, { status: 200, text: "Hello from the sandbox" });
    const code = "Deno.serve({ port: 0 }, (request) => new Response('pid ' + new URL(request.url).pathname))";
    await using server = await sandbox.deno.run({ code, ...quiet });
    await server.httpReady;
    const byPid = await sandbox.exposeHttp({ pid: server.pid });
    assert.deepEqual(await get(`${byPid}/path`), { status: 200, text: "pid /path" });
    assert.notEqual(await sandbox.exposeHttp({ port: 8000 }), url);
  });

  test("the credentials of SSH let ssh in, those of the creation and those that are asked for", async () => {
    await using sandbox = await Sandbox.create({ ssh: true, allowNet: [] });
    const { username, hostname } = await sandbox.exposeSsh();
    const { port, hostKey } = bench.server.ssh;
    const known = bench.home.scratch("known_hosts");
    writeFileSync(known, `[127.0.0.1]:${port} ${hostKey}\n`);
    for (const place of [`${sandbox.ssh?.username}@${sandbox.ssh?.hostname}`, `${username}@${hostname}`]) {
      const { status, stdout, stderr } = await runHost([
        ...(["ssh", "-F", "none", "-p", String(port), "-o", `UserKnownHostsFile=${known}`] as const),
        ...["-o", "BatchMode=yes", place, "pwd"],
      ]);
      assert.deepEqual([status, stdout], [0, "/home/app\n"], stderr);
    }
  });
});
