/** What passes between clients and sandboxes, and handshakes that are nearly right. `npm run fuzz -- relay-frames` runs more. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { fuzz } from "../../../fuzz/relay-frames.ts";
import { SeededRandom } from "../../../fuzz/seeded-random.ts";
import { sandboxInfo } from "../../fake-runtime.ts";
import { openSandboxRpc } from "./fake-sandbox-rpc.ts";
import { configHeader, openBench, SANDBOX_ID, upgradeLines } from "./harness.ts";

test("frames in any pieces pass the relay unchanged, and a goodbye at any moment comes between two of them", async () => {
  await fuzz({ seed: 20_26, iterations: 2000 });
});

test("a handshake with anything wrong in it is answered in the API's form, or its connection closed; the server goes on", async (t) => {
  const bench = await openBench(t, { quotas: { creationsPerMinute: 100_000, sandboxes: 1000 } });
  const rpc = await openSandboxRpc(t);
  bench.runtime.rpc = rpc.open;
  bench.runtime.sandboxes = [sandboxInfo({ id: SANDBOX_ID })];
  const random = new SeededRandom(20_26);
  const config = `x-deno-sandbox-config: ${configHeader({ labels: { a: "b" }, allow_net: ["example.com"] })}`;
  const right = [
    upgradeLines(`/api/v3/sandbox/${SANDBOX_ID}/connect`, bench.token),
    upgradeLines("/api/v3/sandboxes/create", bench.token, [config]),
  ];
  for (let round = 0; round < 400; round++) {
    const bytes = random.mutate(Buffer.from(`${random.pick(right).join("\r\n")}\r\n\r\n`));
    const answer = await shakeHands(bench.url, random.cut(bytes));
    if (answer === "" || answer.startsWith("HTTP/1.1 101 ")) continue;
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    const said = JSON.parse(body) as { code: unknown; message: unknown };
    assert.match(head, /^HTTP\/1\.1 4\d\d /);
    assert.deepEqual([typeof said.code, typeof said.message], ["string", "string"], answer);
  }
  assert.doesNotMatch(bench.log(), /"event":"failure"/);
  assert.equal((await bench.call("GET", "/api/v2/sandboxes")).status, 200);
});

/** What comes until the server hangs up, or a WebSocket is open, or nothing comes because the server waits for more. */
async function shakeHands(url: string, pieces: readonly Buffer[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  let text = "";
  const over = new Promise<void>((resolve) => {
    socket.once("close", resolve);
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (text.startsWith("HTTP/1.1 101 ") && text.includes("\r\n\r\n")) resolve();
    });
  });
  for (const piece of pieces) socket.write(piece);
  // Whoever says that there is no more is gone: what was half is over.
  setTimeout(() => socket.end(), 5);
  await over;
  socket.destroy();
  return text;
}
