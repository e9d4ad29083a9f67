import assert from "node:assert/strict";
import { appendFile, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ImageStore } from "../../../src/vm/image/image-store.ts";
import { manifestId } from "../../../src/vm/image/manifest.ts";
import { scratchDirectory } from "./scratch-directory.ts";
import { publishSmallImage } from "./small-image.ts";

async function openStore(context: TestContext): Promise<ImageStore> {
  return new ImageStore(path.join(await scratchDirectory(context), "images"));
}

test("a published image is found by id, by name and by the beginning of its id", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  await store.setName("default", id);
  assert.equal(await store.resolve("default"), id);
  assert.equal(await store.resolve(id), id);
  assert.equal(await store.resolve(id.slice(0, 8)), id);
  const image = await store.open(id);
  assert.equal(await readFile(image.kernelPath, "utf8"), "content of vmlinuz");
  assert.equal(id, manifestId(await readFile(path.join(image.directory, "manifest.json"))));
});

test("an image that is not there is not found, with the command that helps", async (context) => {
  const store = await openStore(context);
  await assert.rejects(store.resolve("default"), { code: "image_not_found", hint: "sbx setup" });
  await assert.rejects(store.resolve("data"), { code: "image_not_found", message: 'no image "data"' });
  await assert.rejects(store.open("b".repeat(64)), { code: "image_not_found" });
});

test("three letters are not enough of an id, and a beginning of two ids is ambiguous", async (context) => {
  const store = await openStore(context);
  const ids: string[] = [];
  // Ids are hashes: publish until two begin alike would take long, so directories stand in for images.
  for (const tail of ["0", "1"]) ids.push(`abcd${tail.repeat(60)}`);
  await store.prepare();
  for (const id of ids) await writeFile(path.join(store.imagesPath, id), "");
  await assert.rejects(store.resolve("abcd"), { code: "usage", message: '"abcd" could mean 2 images' });
  assert.equal(await store.resolve("abcd0"), ids[0]);
  await assert.rejects(store.resolve("abc"), { code: "image_not_found" });
});

test("a truncated file is noticed when the image is opened, and the command that mends it is named", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store, { extraPackages: ["jq", "tree"] });
  await store.setName("data", id);
  await truncate(path.join(store.imagesPath, id, "root.ext4"), 3);
  await assert.rejects(store.open(id), {
    code: "image_broken",
    message: 'image "data" is damaged: root.ext4 has 3 bytes instead of 20',
    hint: "sbx image build data jq tree --force",
  });
});

test("a missing file and a missing manifest are noticed", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  await store.setName("default", id);
  await rm(path.join(store.imagesPath, id, "vmlinuz"));
  await assert.rejects(store.open(id), { message: /vmlinuz is missing/, hint: "sbx setup --force" });
  await rm(path.join(store.imagesPath, id, "manifest.json"));
  await assert.rejects(store.open(id), { code: "image_broken", message: /not all there/ });
});

test("a manifest that was changed is noticed, however well it parses", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  await appendFile(path.join(store.imagesPath, id, "manifest.json"), " ");
  await assert.rejects(store.open(id), { code: "image_broken", message: /manifest\.json has changed/ });
});

test("content that changed without changing its size is found by verifying", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  await writeFile(path.join(store.imagesPath, id, "root.ext4"), "content of root.exT4");
  await store.open(id);
  await assert.rejects(store.verify(id), { code: "image_broken", message: /the content of root\.ext4 has changed/ });
});

test("verifying an intact image reads all of it", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  const seen: number[][] = [];
  await store.verify(id, { onBytes: (done, total) => seen.push([done, total]) });
  const [done, total] = seen.at(-1) ?? [];
  assert.equal(done, total);
});

test("a name that leads nowhere is damage, not a reason to crash", async (context) => {
  const store = await openStore(context);
  await publishSmallImage(store);
  await writeFile(path.join(store.imagesPath, "names", "data"), "\0\0\0");
  await assert.rejects(store.open(await store.resolve("data")), { code: "image_broken", message: /image "data"/ });
  await store.setName("gone", "c".repeat(64));
  await assert.rejects(store.open(await store.resolve("gone")), { code: "image_broken" });
});

test("a name moves to another image in one step, and no other file is left", async (context) => {
  const store = await openStore(context);
  const first = await publishSmallImage(store, { createdAt: 1 });
  const second = await publishSmallImage(store, { createdAt: 2 });
  await store.setName("default", first);
  await store.setName("default", second);
  assert.deepEqual(await store.namesOf(first), []);
  assert.deepEqual(await store.namesOf(second), ["default"]);
  assert.deepEqual(await readdir(path.join(store.imagesPath, "names")), ["default"]);
});

test("names that are no names are refused before anything is written", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  for (const name of ["", "..", "../x", "a/b", "Data", "-x", "a".repeat(64), ".hidden", "x.tmp", "a b"]) {
    await assert.rejects(store.setName(name, id), { code: "usage" }, name);
  }
  assert.deepEqual(await readdir(path.join(store.imagesPath, "names")), []);
});

test("removing an image removes its names and every file", async (context) => {
  const store = await openStore(context);
  const id = await publishSmallImage(store);
  await store.setName("default", id);
  await store.setName("other", id);
  await store.remove(id);
  assert.deepEqual(await readdir(store.imagesPath), ["names"]);
  assert.deepEqual([...(await store.names())], []);
});

test("of several images of one build the newest intact one is taken", async (context) => {
  const store = await openStore(context);
  const build = "d".repeat(64);
  await publishSmallImage(store, { build, createdAt: 1 });
  const newer = await publishSmallImage(store, { build, createdAt: 2 });
  const damaged = await publishSmallImage(store, { build, createdAt: 3 });
  await truncate(path.join(store.imagesPath, damaged, "vmlinuz"), 0);
  assert.equal((await store.findByBuild(build))?.id, newer);
  assert.equal(await store.findByBuild("e".repeat(64)), null);
});
