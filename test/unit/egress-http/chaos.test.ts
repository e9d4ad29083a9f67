/**
 * HTTP/2 that breaks off at every possible moment on both sides. Node's own assertions end the process where it is wrong
 * about a stream's life, and this test with it.
 */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import type { Task } from "./chaos-peers.ts";
import { openH2, readH2 } from "./clients.ts";
import { startHarness } from "./harness.ts";

const SEEDS = (process.env.CHAOS_SEEDS ?? "1 2 3 4").split(" ").map(Number);
const ROUNDS = 6;

test("streams that end at any moment, on any side, by any code, leave the interceptor working", async () => {
  let carried = 0;
  for (const seed of SEEDS) {
    const peers = fork(new URL("chaos-peers.ts", import.meta.url), [String(seed)], { stdio: "ignore" });
    const exited = once(peers, "exit");
    const [upstream] = (await once(peers, "message")) as [{ port: number; ca: string }];
    await using harness = await startHarness({
      upstreamPort: upstream.port,
      upstreamCa: upstream.ca,
      limits: { streamWindowBytes: 65_535, lingerMs: 50 },
    });
    const task: Task = { clientPort: harness.clientPort, ca: harness.ca, rounds: ROUNDS };
    peers.send(task);
    await Promise.race([once(peers, "message"), exited]);
    carried += harness.events.length;
    peers.kill("SIGKILL");
    await exited;
    // The upstream is gone now: an answer of the interceptor's own shows that it is not.
    const session = await openH2(harness);
    assert.equal((await readH2(session.request({ ":path": "/" }))).headers[":status"], 502);
    session.destroy();
  }
  assert.ok(carried > SEEDS.length * 20, `${carried} requests were carried`);
});
