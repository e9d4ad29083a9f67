import assert from "node:assert/strict";
import { readFile, readdir, truncate, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ImageStore, type OpenImage } from "../../../src/vm/image/image-store.ts";
import { ensureInitrd } from "../../../src/vm/image/initrd.ts";
import { scratchDirectory } from "./scratch-directory.ts";
import { publishSmallImage } from "./small-image.ts";

async function imageAndAgent(context: TestContext): Promise<{ image: OpenImage; agentPath: string }> {
  const directory = await scratchDirectory(context);
  const store = new ImageStore(path.join(directory, "images"));
  const image = await store.open(await publishSmallImage(store));
  const agentPath = path.join(directory, "agent");
  await writeFile(agentPath, "the agent");
  return { image, agentPath };
}

test("an initramfs holds the agent as /init and ends with the image's modules", async (context) => {
  const { image, agentPath } = await imageAndAgent(context);
  const content = await readFile(await ensureInitrd(image, agentPath), "latin1");
  assert.ok(content.includes("init\0"));
  assert.ok(content.includes("the agent"));
  assert.ok(content.includes("dev/console\0"));
  assert.ok(content.endsWith("content of modules.cpio"));
});

test("the same agent gives the same file, another agent another one", async (context) => {
  const { image, agentPath } = await imageAndAgent(context);
  const first = await ensureInitrd(image, agentPath);
  assert.equal(await ensureInitrd(image, agentPath), first);
  await writeFile(agentPath, "another agent");
  assert.notEqual(await ensureInitrd(image, agentPath), first);
});

test("an initramfs that was cut short is made again", async (context) => {
  const { image, agentPath } = await imageAndAgent(context);
  const initrdPath = await ensureInitrd(image, agentPath);
  const before = await readFile(initrdPath);
  await truncate(initrdPath, 100);
  await ensureInitrd(image, agentPath);
  assert.deepEqual(await readFile(initrdPath), before);
});

test("one of an older agent goes when it has not been made just now", async (context) => {
  const { image, agentPath } = await imageAndAgent(context);
  const old = await ensureInitrd(image, agentPath);
  await utimes(old, 0, 0);
  await writeFile(agentPath, "another agent");
  const fresh = await ensureInitrd(image, agentPath);
  const kept = (await readdir(image.directory)).filter((name) => name.startsWith("initrd-"));
  assert.deepEqual(kept, [path.basename(fresh)]);
});

test("a missing agent is an error that says how to get one", async (context) => {
  const { image } = await imageAndAgent(context);
  await assert.rejects(ensureInitrd(image, "/nonexistent/agent"), {
    message: "there is no guest agent at /nonexistent/agent",
    hint: "build it with: npm run build",
  });
});
