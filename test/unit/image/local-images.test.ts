import assert from "node:assert/strict";
import { readdir, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { test, type TestContext } from "node:test";
import type { ImageUser } from "../../../src/runtime/local/disks/image-users.ts";
import { LocalImages } from "../../../src/runtime/local/images.ts";
import { buildKey, hostArchitecture, readRecipe } from "../../../src/vm/image/recipe.ts";
import { recipePath } from "../../../src/host/package-root.ts";
import { scratchDirectory } from "./scratch-directory.ts";
import { publishSmallImage } from "./small-image.ts";

interface Fixture {
  images: LocalImages;
  /** Users by image. */
  users: Map<string, string[]>;
}

async function openImages(context: TestContext, defaultImage: string | null = null): Promise<Fixture> {
  const users = new Map<string, string[]>();
  const usedBy = async (id: string): Promise<ImageUser[]> =>
    (users.get(id) ?? []).map((name) => ({ kind: "sandbox", name }));
  return { images: new LocalImages({ dataPath: await scratchDirectory(context), usedBy, defaultImage }), users };
}

/** The key of an image with these packages, so that none has to be built. */
async function keyOf(packages: string[]): Promise<string> {
  return buildKey(await readRecipe(recipePath(), hostArchitecture()), packages);
}

test("images are listed newest first, with their names and the default one marked", async (context) => {
  const { images } = await openImages(context);
  const older = await publishSmallImage(images.store, { createdAt: 1 });
  const newer = await publishSmallImage(images.store, { createdAt: 2 });
  await images.store.setName("default", older);
  const listed = await images.list();
  assert.deepEqual(
    listed.map(({ id, names, isDefault }) => ({ id, names, isDefault })),
    [
      { id: newer, names: [], isDefault: false },
      { id: older, names: ["default"], isDefault: true },
    ],
  );
  assert.deepEqual(listed[0]?.packages, ["bash=5.2"]);
  assert.ok(listed.every(({ sizeBytes }) => sizeBytes > 0));
});

test("the image of the settings is the default one, not the one that has the name", async (context) => {
  const { images } = await openImages(context, "data");
  const id = await publishSmallImage(images.store);
  await images.store.setName("data", id);
  assert.equal((await images.get("data")).isDefault, true);
});

test("a damaged image is listed with what is wrong, and can be removed", async (context) => {
  const { images } = await openImages(context);
  const id = await publishSmallImage(images.store);
  await images.store.setName("data", id);
  await truncate(path.join(images.store.imagesPath, id, "vmlinuz"), 1);
  const [listed] = await images.list();
  assert.equal(listed?.distribution, "damaged: vmlinuz has 1 bytes instead of 18");
  await assert.rejects(images.open("data"), { code: "image_broken" });
  assert.deepEqual((await images.remove("data")).names, ["data"]);
  assert.deepEqual(await images.list(), []);
});

test("an image that sandboxes stand on is not removed", async (context) => {
  const { images, users } = await openImages(context);
  const id = await publishSmallImage(images.store);
  await images.store.setName("data", id);
  users.set(id, ["alpha", "beta"]);
  await assert.rejects(images.remove("data"), {
    code: "image_in_use",
    message: "image data is in use by alpha, beta",
    hint: "sbx kill alpha beta",
  });
  assert.equal((await images.open("data")).id, id);
});

test("building what there is already only gives it another name", async (context) => {
  const { images } = await openImages(context);
  const id = await publishSmallImage(images.store, {
    build: await keyOf(["jq", "tree"]),
    extraPackages: ["jq", "tree"],
  });
  const built = await images.build({ name: "data", packages: ["tree", "jq", "jq"] });
  assert.deepEqual([built.id, built.names], [id, ["data"]]);
});

test("names and packages that cannot be are refused before anything is built", async (context) => {
  const { images } = await openImages(context);
  await assert.rejects(images.build({ name: "../x", packages: [] }), { code: "usage" });
  await assert.rejects(images.build({ name: "data", packages: ["--include=x"] }), {
    code: "usage",
    message: '"--include=x" cannot be the name of a Debian package',
  });
  assert.deepEqual(await images.list(), []);
});

test("the default image is taken as it is while the recipe is the same", async (context) => {
  const { images } = await openImages(context);
  const id = await publishSmallImage(images.store, { build: await keyOf([]) });
  await images.store.setName("default", id);
  assert.equal((await images.ensureDefault()).id, id);
});

test("a damaged default image gives way to an intact one of the same recipe", async (context) => {
  const { images } = await openImages(context);
  const build = await keyOf([]);
  const damaged = await publishSmallImage(images.store, { build, createdAt: 2 });
  const intact = await publishSmallImage(images.store, { build, createdAt: 1 });
  await images.store.setName("default", damaged);
  await rm(path.join(images.store.imagesPath, damaged, "root.ext4"));
  assert.equal((await images.ensureDefault()).id, intact);
  assert.equal((await images.open(null)).id, intact);
});

test("pruning removes what interrupted builds left, and images only if asked to", async (context) => {
  const { images, users } = await openImages(context);
  const kept = await publishSmallImage(images.store, { createdAt: 1 });
  const used = await publishSmallImage(images.store, { createdAt: 2 });
  const unused = await publishSmallImage(images.store, { createdAt: 3 });
  await images.store.setName("default", kept);
  users.set(used, ["alpha"]);
  const stale = path.join(images.store.imagesPath, ".trash-000000000000");
  await writeFile(stale, "");
  assert.deepEqual(await images.prune({ dryRun: true, unused: false }), { images: [], directories: [stale] });
  assert.deepEqual((await images.prune({ dryRun: false, unused: false })).directories, [stale]);
  const plan = await images.prune({ dryRun: true, unused: true });
  assert.deepEqual(
    plan.images.map(({ id }) => id),
    [unused],
  );
  assert.deepEqual(await images.prune({ dryRun: false, unused: true }), plan);
  assert.deepEqual((await readdir(images.store.imagesPath)).sort(), [kept, used, "names"].sort());
});

test("verifying names what has changed", async (context) => {
  const { images } = await openImages(context);
  const id = await publishSmallImage(images.store);
  assert.equal((await images.verify(id)).id, id);
  await writeFile(path.join(images.store.imagesPath, id, "modules.cpio"), "content of modules.cpiO");
  await assert.rejects(images.verify(id), { message: /the content of modules\.cpio has changed/ });
});
