import assert from "node:assert/strict";
import { test } from "node:test";
import { readUntil } from "./clients.ts";
import { HOST, startHarness } from "./harness.ts";
import { rawServer } from "./servers.ts";

test("a response that comes before the end of an upload is complete for the guest, which may go on sending", async () => {
  await using upstream = await rawServer(true, (socket) => {
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes(" HTTP/1.1"))
        socket.write("HTTP/1.1 413 Too Large\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n");
    });
  });
  // Whoever waits for the rest of the upload first waits for good.
  await using harness = await startHarness({ upstreamPort: upstream.port, limits: { lingerMs: 2 ** 31 - 1 } });
  const socket = await harness.connect();
  socket.write(`POST / HTTP/1.1\r\nhost: ${HOST}\r\ncontent-length: 1000\r\n\r\nabc`);
  assert.match(await readUntil(socket, "0\r\n\r\n"), /^HTTP\/1\.1 413 /);
  socket.write(`${"x".repeat(997)}GET /next HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`);
  assert.match(await readUntil(socket, "0\r\n\r\n"), /^HTTP\/1\.1 413 /); // the second request's own
  socket.destroy();
});
