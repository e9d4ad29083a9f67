import assert from "node:assert/strict";
import { test } from "node:test";
import { SbxError } from "../../../src/runtime/errors.ts";
import { Endings } from "../../../src/server/organisations/endings.ts";

const inUse = (): SbxError => new SbxError("volume_in_use", "volume v is being used by x");

test("what an ending sandbox holds is waited for, and asked for again when it is over", async () => {
  const endings = new Endings();
  const { promise, resolve } = Promise.withResolvers<void>();
  const tracked = endings.track(promise);
  let isFree = false;
  let asked = 0;
  const free = endings.whenFree(async () => {
    asked++;
    if (!isFree) throw inUse();
    return "free";
  });
  await new Promise((resume) => setTimeout(resume, 400));
  assert.equal(asked, 1, "nothing is asked before the end");
  isFree = true;
  resolve();
  assert.equal(await free, "free");
  await tracked;
});

test("an end that the server hears of a moment after its client is waited for, too", async () => {
  const endings = new Endings();
  let asked = 0;
  assert.equal(
    await endings.whenFree(async () => {
      if (++asked < 3) throw inUse();
      return asked;
    }),
    3,
  );
});

test("what is held by a sandbox that runs on is a conflict, and another failure is told at once", async () => {
  const endings = new Endings();
  let asked = 0;
  const work = async (error: Error): Promise<void> => {
    asked++;
    throw error;
  };
  await assert.rejects(
    endings.whenFree(async () => work(inUse())),
    { code: "volume_in_use" },
  );
  assert.equal(asked, 4);
  asked = 0;
  await assert.rejects(
    endings.whenFree(async () => work(new SbxError("volume_not_found", "none"))),
    {
      code: "volume_not_found",
    },
  );
  assert.equal(asked, 1);
});

test("an end that fails holds up nobody, and its failure is its own caller's", async () => {
  const endings = new Endings();
  const { promise, reject } = Promise.withResolvers<void>();
  const tracked = endings.track(promise);
  let asked = 0;
  const free = endings.whenFree(async () => {
    if (++asked === 1) throw inUse();
  });
  reject(new Error("it did not end"));
  await assert.rejects(tracked, /did not end/);
  await free;
});
