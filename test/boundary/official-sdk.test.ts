/**
 * The npm package `@deno/sandbox`, unmodified, against `sbx serve`: what its sandboxes reach of the world, with servers of
 * this network in the place of the internet's.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { SdkServer } from "../vm/support/sdk-server.ts";
import type { EchoServer } from "./support/echo-server.ts";
import { makePackages, packageIndex } from "./support/package-index.ts";
import { World } from "./support/world.ts";

const PACKAGES = "packages.example.com";
const PLACEHOLDER = /^DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/;
const KEY = "sk-ant-your-real-key";

let world: World;
let api: EchoServer;
let other: EchoServer;

before(async () => {
  world = await World.open();
  await world.https("example.com", "93.184.216.34");
  await world.https("www.example.net", "93.184.216.35");
  api = await world.https("api.anthropic.com", "93.184.216.36");
  other = await world.https("elsewhere.example.org", "93.184.216.37");
  const packages = makePackages(world.home.scratch("packages"));
  await world.https(PACKAGES, "93.184.216.38", { answer: packageIndex(packages, PACKAGES) });
  // As an operator whose upstreams have roots of their own.
  world.home.env.SSL_CERT_FILE = world.caFile;
  const server = world.use(await SdkServer.open(world.home));
  process.env.DENO_SANDBOX_ENDPOINT = server.url;
  process.env.DENO_DEPLOY_ENDPOINT = server.url;
  process.env.DENO_DEPLOY_TOKEN = server.token ?? "";
});
after(async () => world[Symbol.asyncDispose]());

test("with a list of hosts, those are reached by name, by pattern and by port, and no others", async () => {
  await using sandbox = await Sandbox.create({ allowNet: ["example.com", "*.example.net:443"] });
  assert.match(await sandbox.sh`curl -sS https://example.com/echo`.text(), /"method":"GET"/);
  assert.match(await sandbox.sh`curl -sS https://www.example.net/echo`.text(), /"serverName":"www.example.net"/);
  const before = other.connections;
  for (const url of ["https://elsewhere.example.org/", "https://93.184.216.37/", "http://www.example.net/"]) {
    const { status } = await sandbox.sh`curl -sS -m 20 -f ${url}`.stdout("null").noThrow();
    assert.notEqual(status.code, 0, url);
  }
  assert.equal(other.connections, before);
  assert.equal((await sandbox.fetch("https://example.com/echo")).status, 200);
  await assert.rejects(sandbox.fetch("https://elsewhere.example.org/"), { name: "TypeError" });
});

test("without a list everything public is reached, and this machine is not", async () => {
  await using sandbox = await Sandbox.create();
  assert.match(await sandbox.sh`curl -sS https://elsewhere.example.org/echo`.text(), /"method":"GET"/);
  const port = new URL(process.env.DENO_SANDBOX_ENDPOINT ?? "").port;
  const { status } = await sandbox.sh`curl -sS -m 20 -f http://host.sbx.internal:${port}/healthz`.noThrow();
  assert.notEqual(status.code, 0);
});

test("a secret is a placeholder in the sandbox, its value at its hosts, and a placeholder anywhere else", async () => {
  const secrets = { ANTHROPIC_API_KEY: { hosts: ["api.anthropic.com"], value: KEY } };
  await using sandbox = await Sandbox.create({ secrets });
  const shown = (await sandbox.sh`echo $ANTHROPIC_API_KEY`.text()).trim();
  assert.match(shown, PLACEHOLDER);
  assert.equal(await sandbox.env.get("ANTHROPIC_API_KEY"), shown);
  await sandbox.sh`curl -sS -H "x-api-key: $ANTHROPIC_API_KEY" https://api.anthropic.com/v1`.stdout("null");
  assert.equal(api.seen.at(-1)?.headers["x-api-key"], KEY);
  await sandbox.sh`curl -sS -H "x-api-key: $ANTHROPIC_API_KEY" https://elsewhere.example.org/`.stdout("null");
  assert.equal(other.seen.at(-1)?.headers["x-api-key"], shown);
  // A program's own client, which trusts the sandbox's authority as the system does.
  const script = `const headers = { "x-api-key": Deno.env.get("ANTHROPIC_API_KEY") };
    console.log(await (await fetch("https://api.anthropic.com/v2", { headers })).text());`;
  const child = await sandbox.deno.run({ code: script, stdout: "piped" });
  // What the host echoes is a placeholder again on its way back.
  assert.ok((await child.output()).stdoutText?.includes(shown));
  assert.equal(api.seen.at(-1)?.headers["x-api-key"], KEY);
});

test("packages are installed, and a program runs with them", async () => {
  await using sandbox = await Sandbox.create({ allowNet: [PACKAGES] });
  await sandbox.fs.writeTextFile(".npmrc", `registry=https://${PACKAGES}/npm/\n`);
  const manifest = { name: "demo", private: true, type: "module", dependencies: { "tiny-sbx": "^1.0.0" } };
  await sandbox.fs.writeTextFile("package.json", JSON.stringify(manifest, null, 2));
  await sandbox.fs.writeTextFile("server.js", "import word from 'tiny-sbx';\nconsole.log(word);\n");
  await sandbox.sh`deno install`.stdout("null").stderr("null");
  const ran = await sandbox.deno.run({ entrypoint: "server.js", stdout: "piped" });
  assert.equal((await ran.output()).stdoutText, "installed\n");
});
