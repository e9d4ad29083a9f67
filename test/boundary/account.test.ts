/**
 * The boundary for an account without rights: a freshly made one, which sets nothing up. Neither its sandbox nor
 * anything else of it may need what only root can do.
 */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { mkdtemp, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { processesOf } from "../vm/support/leftovers.ts";
import { PROGRAM, runHost, type Outcome } from "../vm/support/program.ts";
import { prepared } from "../vm/support/test-home.ts";
import type { EchoServer, SeenRequest } from "./support/echo-server.ts";
import { findInFile, findInProcesses } from "./support/value-search.ts";
import { findForms, valueForms } from "./support/value-forms.ts";
import { World } from "./support/world.ts";

const ACCOUNT = `sbxnet${process.pid}`;
const TUNNELLED = "tunnel.example.com";
const READ = "api.example.com";
const SMALL = ["--memory", "512MiB", "--cpus", "1"];
const READ_BYTES = 16 * 1024 * 1024;

let world: World;
let read: EchoServer;
let tunnelled: EchoServer;
let base = "";
let uid = 0;

before(async () => {
  world = await World.open();
  tunnelled = await world.https(TUNNELLED, "93.184.216.34");
  read = await world.https(READ, "93.184.216.35");
  base = await mkdtemp(path.join("/var/tmp", `${ACCOUNT}-`));
  const home = path.join(base, "home");
  await must(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/bash", ACCOUNT]);
  uid = Number((await must(["id", "-u", ACCOUNT])).stdout);
  // Where its own `sbx setup` would have put the image.
  const data = path.join(home, ".local/share/sbx");
  await must(["mkdir", "-p", data]);
  await must(["cp", "-r", "--sparse=always", path.join(prepared.dataPath, "images"), data]);
  await must(["cp", world.caFile, path.join(home, "root.pem")]);
  await must(["chown", "-R", `${ACCOUNT}:`, home]);
  await must(["chmod", "755", base]);
});
after(async () => {
  for (const { pid } of await processesOf([base])) process.kill(pid, "SIGKILL");
  await runHost(["userdel", ACCOUNT]);
  await runHost(["rm", "-rf", base, `/tmp/sbx-${uid}`]);
  await world[Symbol.asyncDispose]();
});

async function must(argv: readonly [string, ...string[]]): Promise<Outcome> {
  const outcome = await runHost(argv);
  if (outcome.status !== 0) throw new Error(`${argv.join(" ")}: ${outcome.stderr}`);
  return outcome;
}

/** Runs sbx as the account, with nothing of this process's environment. */
async function sbx(args: readonly string[], input = ""): Promise<Outcome> {
  const environment = [`HOME=${path.join(base, "home")}`, `USER=${ACCOUNT}`, "PATH=/usr/local/bin:/usr/bin:/bin"];
  const words = ["-u", ACCOUNT, "--", "env", "-i", ...environment, ...PROGRAM, ...args];
  return runHost(["runuser", ...words], { cwd: "/", input });
}

test("an ordinary user's sandbox reaches what was named, with the secret put in where it belongs", async () => {
  const set = await sbx(["secret", "set", "API_KEY", "--host", READ], world.secret);
  assert.equal(set.status, 0, set.stderr);
  const script = [
    `curl -sS -H "authorization: Bearer $API_KEY" https://${TUNNELLED}/echo`,
    `curl -sS -H "authorization: Bearer $API_KEY" https://${READ}/echo`,
    "curl -sS https://other.example.com/ 2>/dev/null || echo $?",
    "curl -sS -m 10 http://93.184.216.34/ 2>/dev/null || echo $?",
  ].join("; echo; ");
  const allowed = ["--allow-net", `${TUNNELLED}:443`, "--allow-net", `${READ}:443`, "--secret", `API_KEY@${READ}`];
  const roots = ["--ca-file", path.join(base, "home", "root.pem")];
  const ran = await sbx(["run", "--quiet", ...SMALL, ...allowed, ...roots, "--", "bash", "-c", script]);
  assert.equal(ran.status, 0, ran.stderr);
  const [byTunnel = "", intercepted = "", unnamed, bare] = ran.stdout.split("\n").filter((line) => line !== "");
  for (const answer of [byTunnel, intercepted]) {
    const { headers } = JSON.parse(answer) as SeenRequest;
    assert.match(String(headers.authorization), /^Bearer DENO_SECRET_PLACEHOLDER_[0-9a-f]{64}$/);
  }
  assert.deepEqual([unnamed, bare], ["6", "7"], "a name that was not named, and an address without its name");
  assert.equal(read.seen[0]?.headers.authorization, `Bearer ${world.secret}`);
  assert.equal(tunnelled.seen.length, 1);
  assert.deepEqual(
    world.names.asked.filter(({ name }) => name !== TUNNELLED && name !== READ),
    [],
  );
});

test("nothing that its sandboxes leave behind has the value in it, and what stores it is its own alone", async () => {
  assert.deepEqual(findInProcesses(world.secret), []);
  const found: string[] = [];
  let files = 0;
  const visit = async (directory: string): Promise<void> => {
    for (const name of await readdir(directory)) {
      const file = path.join(directory, name);
      const stats = await stat(file);
      assert.equal(stats.uid, uid, `${file} belongs to the account`);
      if (/secret/.test(name)) assert.equal(stats.mode & 0o077, 0, `${file} is for its owner alone`);
      // The image was there before there was a secret.
      if (stats.isDirectory() && name !== "images") await visit(file);
      if (!stats.isFile()) continue;
      files += 1;
      const forms = await findInFile(createReadStream(file, { highWaterMark: READ_BYTES }), valueForms(world.secret));
      found.push(...forms.map((form) => `${file}: ${form}`));
    }
  };
  await visit(path.join(base, "home", ".local"));
  assert.ok(files > 5, `${files} files were searched`);
  assert.deepEqual(found, []);
});

test("its log of the network tells the same story, without the value", async () => {
  const listed = await sbx(["list", "--all", "--json"]);
  const [box] = JSON.parse(listed.stdout) as { id: string }[];
  const { stdout, stderr, status } = await sbx(["net", "log", box?.id ?? "", "--json"]);
  assert.equal(status, 0, stderr);
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const story = events.map(({ kind, verdict, host, via }) => [kind, verdict, host, via ?? null]);
  assert.ok(
    story.some((entry) => entry.join(" ") === `request allow ${READ} intercept`),
    JSON.stringify(story),
  );
  assert.ok(story.some(([, verdict, host]) => verdict === "deny" && host === "other.example.com"));
  assert.deepEqual(findForms(Buffer.from(stdout), world.secret), []);
});
