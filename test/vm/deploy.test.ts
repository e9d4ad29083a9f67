/** `sbx deploy` alone: a directory, one command, and an address that answers, from a server that it has started. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { after, test } from "node:test";
import { identifyProcess } from "../../src/host/process-identity.ts";
import { openBrowser } from "./support/browser.ts";
import { eventually } from "./support/leftovers.ts";
import { openTestHome } from "./support/test-home.ts";

const run = promisify(execFile);
const home = await openTestHome();
after(async () => {
  await home.sbx(["serve", "--stop"]);
  await home[Symbol.asyncDispose]();
});

const SERVER = (text: string): string =>
  `Deno.serve((request) => new Response("${text} " + new URL(request.url).pathname));`;

interface Deployed {
  id: string;
  url: string;
}

async function deploy(text: string, ...args: string[]): Promise<Deployed> {
  const directory = home.scratch("shop");
  await mkdir(directory, { recursive: true });
  await writeFile(path.join(directory, "server.ts"), SERVER(text));
  const words = ["deploy", `${directory}/`, "shop", "--entrypoint", "server.ts", "--json", ...args];
  return JSON.parse(await home.must(words)) as Deployed;
}

async function get(url: string): Promise<string> {
  const { stdout } = await run("curl", ["-sS", "--max-time", "60", "--cacert", certificate(), `${url}/abc`]);
  return stdout;
}

function certificate(): string {
  return path.join(home.path, "state", "server", "gateway-localhost.pem");
}

test("a directory is deployed, answers at once, and a second deployment takes its place", async () => {
  const first = await deploy("one", "--prod");
  assert.match(first.url, /^https:\/\/shop\.localhost(:\d+)?$/);
  assert.equal(await get(first.url), "one /abc");
  const preview = await deploy("two");
  assert.equal(preview.url.includes(`shop-${preview.id}.localhost`), true);
  assert.equal(await get(preview.url), "two /abc");
  assert.equal(await get(first.url), "one /abc");
  const second = await deploy("three", "--prod");
  assert.equal(second.url, first.url);
  assert.equal(await get(first.url), "three /abc");
});

test("a site of files is seen by a real browser, and its links lead on", async () => {
  const directory = home.scratch("site");
  await mkdir(path.join(directory, "more"), { recursive: true });
  await writeFile(path.join(directory, "index.html"), "<!doctype html><title>Site</title><a href=more/>more</a>");
  await writeFile(path.join(directory, "more", "index.html"), "<!doctype html><title>More</title>there");
  const words = ["deploy", `${directory}/`, "docs", "--prod", "--static", ".", "--json"];
  const { url } = JSON.parse(await home.must(words)) as Deployed;
  await using browser = await openBrowser(["--ignore-certificate-errors"]);
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  await page.goto(url);
  assert.equal(await page.title(), "Site");
  await page.click("a");
  await page.waitForURL("**/more/");
  assert.deepEqual([await page.title(), await page.textContent("body")], ["More", "there"]);
});

test("a second server is not started, the first one can be ended, and nothing of it is left", async () => {
  const running = JSON.parse(await home.must(["serve", "--background", "--json"])) as { isNew: boolean; pid: number };
  assert.equal(running.isNew, false);
  const { stderr } = await home.sbx(["serve", "--stop"]);
  assert.match(stderr, new RegExp(`the server \\(process ${running.pid}\\) has ended`));
  assert.equal(identifyProcess(running.pid), null);
  assert.match((await home.sbx(["serve", "--stop"])).stderr, /no server runs/);
});

test("an app answers again after its server was killed and another one was started", async () => {
  const { pid } = JSON.parse(await home.must(["serve", "--background", "--json"])) as { pid: number };
  process.kill(pid, "SIGKILL");
  await eventually(() => assert.equal(identifyProcess(pid), null));
  const next = JSON.parse(await home.must(["serve", "--background", "--json"])) as {
    isNew: boolean;
    gateway: { port: number };
  };
  assert.equal(next.isNew, true);
  assert.equal(await get(`https://shop.localhost:${next.gateway.port}`), "three /abc");
});
