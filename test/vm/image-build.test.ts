/** Images of one's own, built for real: packages, names, interruptions, two builds at once. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, test } from "node:test";
import { processesOf } from "./support/leftovers.ts";
import { collect } from "./support/program.ts";
import { openTestHome } from "./support/test-home.ts";

/** A machine under load takes its time. */
const BUILD = { deadlineMs: 8 * 60_000 };

/** What a build says when packages are being unpacked; not every step of a fast one is said. */
const WORKING = /(unpacking|setting up) the base system|installing packages/;

const home = await openTestHome({ images: "none" });
const imagesPath = path.join(home.paths.dataPath, "images");
after(async () => home[Symbol.asyncDispose]());

/** Nothing but images, names and the lock; no process that has to do with this home. */
async function assertTidy(): Promise<void> {
  const entries = existsSync(imagesPath) ? await readdir(imagesPath) : [];
  assert.deepEqual(
    entries.filter((name) => name.startsWith(".") && name !== ".build.lock"),
    [],
  );
  assert.deepEqual(await processesOf([imagesPath]), []);
}

/** What mmdebstrap has lying about outside of any build. */
async function temporaryFiles(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith("mmdebstrap."));
}

afterEach(async () => {
  for (const { pid } of await processesOf([imagesPath])) process.kill(pid, "SIGKILL");
});

/** Starts a build and waits until packages are being unpacked. */
async function startBuild(): Promise<{ child: ReturnType<typeof home.start>; outcome: ReturnType<typeof collect> }> {
  const child = home.start(["image", "build", "data", "hello"]);
  const outcome = collect(child, "image build", BUILD);
  let said = "";
  const working = new Promise<void>((resolve) => {
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (WORKING.test(said)) resolve();
    });
  });
  await Promise.race([working, once(child, "exit")]);
  assert.match(said, WORKING);
  return { child, outcome };
}

test("a package that Debian does not have is named", async () => {
  const { status, stdout, stderr } = await home.sbx(["image", "build", "data", "no-such-package-at-all"], BUILD);
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /Debian \w+ has no package "no-such-package-at-all"/);
  assert.match(stderr, /apt-cache search no-such-package-at-all/);
  await assertTidy();
});

test("Ctrl-C ends a build with status 130 and leaves nothing", async () => {
  const { child, outcome } = await startBuild();
  child.kill("SIGINT");
  assert.equal((await outcome).status, 130);
  await assertTidy();
});

test("after kill -9 nothing of a build goes on, and the next one clears up", async () => {
  const before = await temporaryFiles();
  const { child, outcome } = await startBuild();
  child.kill("SIGKILL");
  assert.equal((await outcome).status, 137);
  while ((await processesOf([imagesPath])).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  const left = (await readdir(imagesPath)).filter((name) => name.startsWith(".build-"));
  assert.equal(left.length, 1);
  assert.deepEqual(await temporaryFiles(), before);
  await home.must(["prune", "--yes"]);
  await assertTidy();
});

test("two builds of the same at once give one image, which a sandbox starts from", async () => {
  const build = ["image", "build", "data", "hello"];
  const [first, second] = await Promise.all([home.must(build, BUILD), home.must(build, BUILD)]);
  assert.equal(first, second);
  assert.deepEqual(
    (await readdir(imagesPath)).filter((name) => /^[0-9a-f]{64}$/.test(name)),
    [first],
  );
  await assertTidy();
  assert.equal(await home.must(["run", "--image", "data", "--", "hello"], BUILD), "Hello, world!");
  const again = await home.must(["image", "build", "more", "hello"]);
  assert.equal(again, first, "the same recipe is only named");
});

test("an image in use is kept, an image that is not can be removed", async () => {
  const id = await home.create("--image", "data");
  const { status, stderr } = await home.sbx(["image", "remove", "data", "--yes"]);
  assert.equal(status, 1);
  assert.match(stderr, /in use/);
  await home.must(["kill", id]);
  await home.must(["image", "remove", "data", "--yes"]);
  assert.equal(await home.must(["image", "list", "--json"]), "[]");
  await assertTidy();
});
