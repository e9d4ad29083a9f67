/** Windows of bodies between the supervisor and the hook process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CreditGate, IncomingBody, toReadable } from "../../../src/egress/hooks/body-flow.ts";
import { WINDOW_BYTES } from "../../../src/egress/hooks/hook-messages.ts";

test("nothing is asked for before somebody reads, and then one window", async () => {
  const granted: number[] = [];
  const body = new IncomingBody(0, (bytes) => granted.push(bytes));
  assert.deepEqual(granted, []);
  const first = body.next();
  assert.deepEqual(granted, [WINDOW_BYTES]);
  body.push(Buffer.from("text"));
  assert.equal((await first)?.toString(), "text");
  body.finish(null);
  assert.equal(await body.next(), null);
});

test("more than was asked for is an error at once", () => {
  const body = new IncomingBody(10, () => undefined);
  body.push(Buffer.alloc(10));
  assert.throws(() => body.push(Buffer.alloc(1)), /more of a body than was asked for/);
});

test("a failure drops what had arrived; what comes after the end is dropped", async () => {
  const body = new IncomingBody(10, () => undefined);
  body.push(Buffer.from("abc"));
  body.finish(new Error("broken off"));
  body.finish(null);
  body.push(Buffer.alloc(100));
  await assert.rejects(body.next(), /broken off/);
});

test("however parts come, the bytes arrive in order and never more than a window is waiting", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 20 }), async (sizes) => {
      const gate = new CreditGate(0);
      const body = new IncomingBody(0, (bytes) => gate.add(bytes));
      let sent = 0;
      const send = async (): Promise<void> => {
        for (const size of sizes) {
          for (let left = size; left > 0;) {
            const part = await gate.take(left);
            body.push(Buffer.alloc(part, sent));
            sent += part;
            left -= part;
          }
        }
        body.finish(null);
      };
      const sending = send();
      let received = 0;
      for (let part = await body.next(); part !== null; part = await body.next()) {
        received += part.length;
        assert.ok(sent - received <= WINDOW_BYTES);
      }
      await sending;
      assert.equal(
        received,
        sizes.reduce((sum, size) => sum + size, 0),
      );
    }),
    { numRuns: 50 },
  );
});

test("a gate that is closed lets nobody wait", async () => {
  const gate = new CreditGate(0);
  const waiting = gate.take(5);
  gate.close();
  assert.equal(await waiting, 0);
  assert.equal(await gate.opened(), false);
});

test("a stream that is destroyed early says so, one that has ended does not", async () => {
  let cancelled = 0;
  const ended = new IncomingBody(10, () => undefined);
  ended.push(Buffer.from("x"));
  ended.finish(null);
  assert.equal((await toReadable(ended, () => cancelled++).toArray()).length, 1);
  assert.equal(cancelled, 0);
  const stream = toReadable(new IncomingBody(10, () => undefined), () => cancelled++);
  stream.destroy();
  assert.equal(cancelled, 1);
});
