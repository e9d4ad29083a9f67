/** Bodies that are faster than the guest, of which all that comes in one turn of the event loop is one write. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { HOST, startHarness } from "./harness.ts";
import { rawServer } from "./servers.ts";

const BODY_BYTES = 4 * 1024 * 1024;

for (const scheme of ["https", "http"] as const) {
  for (const throughDuplex of [true, false]) {
    const stream = throughDuplex ? "a stream of JavaScript" : "a socket";
    test(
      `a long body whose length nobody knows comes to its end over ${scheme} on ${stream}`,
      { timeout: 20_000 },
      async () => {
        await using server = await rawServer(scheme === "https", (socket) => {
          socket.once("data", () => {
            socket.write("HTTP/1.1 200 OK\r\n\r\n");
            socket.end(Buffer.alloc(BODY_BYTES, "b"));
          });
        });
        await using harness = await startHarness({ upstreamPort: server.port, scheme, throughDuplex });
        const guest = await harness.connect(["http/1.1"]);
        guest.write(`GET / HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
        let bytes = 0;
        for await (const chunk of guest as AsyncIterable<Buffer>) bytes += chunk.length;
        assert.ok(bytes > BODY_BYTES, `${bytes} bytes came`);
      },
    );
  }
}
