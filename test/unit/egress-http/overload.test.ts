/** More at a time than one sandbox may have: what is too much is answered or ended, and the host holds no more for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openH2, readH2 } from "./clients.ts";
import { HOST, startHarness } from "./harness.ts";
import { httpsServer } from "./servers.ts";

const PATH = { ":path": "/", ":authority": HOST };

test("a request too many is answered with 503, and one that is given up at that moment is nobody's error", async () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  try {
    await using upstream = await httpsServer(() => undefined);
    await using harness = await startHarness({ upstreamPort: upstream.port, limits: { exchanges: 1 } });
    const session = await openH2(harness);
    const first = session.request(PATH);
    first.on("error", () => undefined);
    while (upstream.sockets.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    for (let index = 0; index < 50; index++) {
      const stream = session.request(PATH);
      stream.on("error", () => undefined);
      stream.close(8);
    }
    const refused = await readH2(session.request(PATH));
    assert.equal(refused.headers[":status"], 503);
    assert.match(refused.body.toString(), /"error":"overloaded"/);
    const head = await readH2(session.request({ ...PATH, ":method": "HEAD" }));
    assert.deepEqual([head.headers[":status"], head.body.length], [503, 0]);
    session.destroy();
    await harness.settled("request", 52);
  } finally {
    process.off("unhandledRejection", onUnhandled);
  }
  assert.deepEqual(unhandled, []);
});
