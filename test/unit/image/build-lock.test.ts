import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { whileBuilding } from "../../../src/vm/image/build-lock.ts";
import { scratchDirectory } from "./scratch-directory.ts";

const HOLDER = `
import { whileBuilding } from ${JSON.stringify(new URL("../../../src/vm/image/build-lock.ts", import.meta.url).href)};
await whileBuilding(process.argv[1], {}, async () => { console.log("held"); setInterval(() => {}, 1000); await new Promise(() => {}); });
`;

test("two builds in one data directory follow one another", async (context) => {
  const images = await scratchDirectory(context);
  const events: string[] = [];
  const { promise: release, resolve } = Promise.withResolvers<undefined>();
  const onWait = (): void => {
    events.push("second waits");
    resolve(undefined);
  };
  let second: Promise<unknown> | undefined;
  await whileBuilding(images, {}, async () => {
    events.push("first begins");
    second = whileBuilding(images, { onWait }, async () => events.push("second begins"));
    await release;
    events.push("first ends");
  });
  await second;
  assert.deepEqual(events, ["first begins", "second waits", "first ends", "second begins"]);
});

test("a builder that is killed leaves no lock behind", async (context) => {
  const images = await scratchDirectory(context);
  const child = spawn(process.execPath, ["--input-type=module", "-e", HOLDER, images], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  let waited = false;
  const onWait = (): void => {
    waited = true;
    child.kill("SIGKILL");
  };
  assert.equal(await whileBuilding(images, { onWait }, async () => "mine"), "mine");
  assert.ok(waited);
  assert.deepEqual(await readdir(images), [".build.lock"]);
});

test("waiting for the lock can be given up", async (context) => {
  const images = await scratchDirectory(context);
  const stop = new AbortController();
  await whileBuilding(images, {}, async () => {
    const waiting = whileBuilding(images, { signal: stop.signal, onWait: () => stop.abort() }, async () => undefined);
    await assert.rejects(waiting, { name: "AbortError" });
  });
});

test("work that fails gives the lock back", async (context) => {
  const images = await scratchDirectory(context);
  const failing = whileBuilding(images, {}, async () => Promise.reject(new Error("no")));
  await assert.rejects(failing, { message: "no" });
  const onWait = (): void => assert.fail("the lock is still held");
  assert.equal(await whileBuilding(images, { onWait }, async () => 1), 1);
});
