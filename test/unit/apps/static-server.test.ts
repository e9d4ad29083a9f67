/** The server of static sites, as the guest runs it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, request, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { STATIC_SERVER } from "../../../src/runtime/local/apps/static-server.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  body: string;
}

type Ask = (target: string, options?: { method?: string; headers?: Record<string, string> }) => Promise<Answer>;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function open(t: TestContext, mode: "plain" | "spa"): Promise<{ site: string; ask: Ask }> {
  const directory = temporaryDirectory(t);
  const site = path.join(directory, "site");
  mkdirSync(path.join(site, "docs"), { recursive: true });
  writeFileSync(path.join(directory, "secret.txt"), "secret");
  writeFileSync(path.join(site, "index.html"), "<h1>home</h1>");
  writeFileSync(path.join(site, "docs", "index.html"), "docs");
  writeFileSync(path.join(site, "page.html"), "page");
  writeFileSync(path.join(site, "data.json"), "0123456789");
  symlinkSync("../secret.txt", path.join(site, "link.txt"));
  const port = await freePort();
  const child = spawn(process.execPath, ["--eval", STATIC_SERVER, "--", "site", String(port), mode], {
    ...{ cwd: directory, stdio: "inherit" },
  });
  t.after(() => child.kill("SIGKILL"));
  const ask: Ask = async (target, { method = "GET", headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      // Not by a URL: that would take the dots away.
      request({ host: "127.0.0.1", port, path: target, method, headers }, (response) => {
        const { statusCode: status = 0, headers: fields } = response;
        text(response).then((body) => resolve({ status, headers: fields, body }), reject);
      })
        .once("error", reject)
        .end();
    });
  while (
    !(await ask("/").then(
      () => true,
      () => false,
    ))
  )
    await new Promise((resolve) => setTimeout(resolve, 20));
  return { site, ask };
}

test("files have their types, directories their index, pages no ending, and what is not there is 404", async (t) => {
  const { ask } = await open(t, "plain");
  const home = await ask("/");
  assert.deepEqual(
    [home.status, home.headers["content-type"], home.body],
    [200, "text/html; charset=utf-8", "<h1>home</h1>"],
  );
  assert.equal((await ask("/docs/")).body, "docs");
  assert.equal((await ask("/page?x=1")).body, "page");
  assert.equal((await ask("/data.json")).headers["content-type"], "application/json");
  assert.equal((await ask("/none")).status, 404);
  assert.equal((await ask("/", { method: "POST" })).status, 405);
  const head = await ask("/data.json", { method: "HEAD" });
  assert.deepEqual([head.status, head.headers["content-length"], head.body], [200, "10", ""]);
});

test("nothing outside of the directory is served, by dots, encoded dots or links", async (t) => {
  const { ask } = await open(t, "plain");
  for (const target of [
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/docs/../../secret.txt",
    "/link.txt",
    "/..%2fsecret.txt",
    "/%00",
    "/%zz",
  ]) {
    const { status, body } = await ask(target);
    assert.ok(status === 404 || status === 400, `${target}: ${status}`);
    assert.ok(!body.includes("secret"), target);
  }
});

test("a part is answered with a part, and what a client has already with nothing", async (t) => {
  const { ask } = await open(t, "plain");
  const part = await ask("/data.json", { headers: { range: "bytes=2-4" } });
  assert.deepEqual([part.status, part.headers["content-range"], part.body], [206, "bytes 2-4/10", "234"]);
  assert.equal((await ask("/data.json", { headers: { range: "bytes=8-" } })).body, "89");
  assert.equal((await ask("/data.json", { headers: { range: "bytes=10-" } })).status, 416);
  const tag = part.headers.etag ?? "";
  assert.equal((await ask("/data.json", { headers: { "if-none-match": tag } })).status, 304);
});

test("a single-page application answers with its page for what is not there", async (t) => {
  const { ask } = await open(t, "spa");
  assert.deepEqual([(await ask("/deep/route")).status, (await ask("/deep/route")).body], [200, "<h1>home</h1>"]);
  assert.equal((await ask("/data.json")).body, "0123456789");
});
