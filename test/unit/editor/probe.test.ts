/** Whether VS Code answers in a guest, which may answer anything, for ever, or never. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { answersAsEditor } from "../../../src/runtime/local/editor/probe.ts";

const COMMIT = "53c2f3253bcf32886706fc023e794bbeb253c90f";

/** A server in a guest: says what it is told to, once it has been asked. */
function guest(answer: (tunnel: Duplex, request: string) => void): {
  tunnels: Duplex[];
  openTunnel(): Promise<Duplex>;
} {
  const tunnels: Duplex[] = [];
  const openTunnel = async (): Promise<Duplex> => {
    const tunnel = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        answer(tunnel, chunk.toString());
        done();
      },
    });
    tunnels.push(tunnel);
    return tunnel;
  };
  return { tunnels, openTunnel };
}

test("VS Code is known by its version, which it tells without a token; the connection is closed", async () => {
  const asked: string[] = [];
  const sandbox = guest((tunnel, request) => {
    asked.push(request);
    tunnel.push("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
    tunnel.push(COMMIT);
  });
  assert.equal(await answersAsEditor(sandbox, 4000, undefined), true);
  assert.match(asked.join(""), /^GET \/version HTTP\/1\.1\r\n[^]*\r\n\r\n$/);
  assert.equal(sandbox.tunnels[0]?.destroyed, true);
});

test("another server, one that hangs up, and a port where nobody listens are not VS Code", async () => {
  const other = guest((tunnel) => tunnel.push(`HTTP/1.1 404 Not Found\r\n\r\n${COMMIT}`) && tunnel.push(null));
  assert.equal(await answersAsEditor(other, 4000, undefined), false);
  const silent = guest((tunnel) => tunnel.push(null));
  assert.equal(await answersAsEditor(silent, 4000, undefined), false);
  const refused = { openTunnel: () => Promise.reject(new Error("connection refused")) };
  assert.equal(await answersAsEditor(refused, 4000, undefined), false);
});

test("an answer without an end is not read to its end", async () => {
  let sent = 0;
  const endless = guest((tunnel) => {
    while (sent < 1024 * 1024) {
      sent += 1024;
      if (!tunnel.push(Buffer.alloc(1024, "x"))) break;
    }
  });
  assert.equal(await answersAsEditor(endless, 4000, undefined), false);
  assert.equal(endless.tunnels[0]?.destroyed, true);
});

test("an answer that is made to be expensive to look at is looked at once", async () => {
  // An expression that tries each blank line with each run of digits takes hours over this.
  const body = Buffer.from(`HTTP/1.1 200 OK${"\r\n\r\n".repeat(64 * 1024)}${`${"a".repeat(39)}x`.repeat(6400)}`);
  const costly = guest((tunnel) => tunnel.push(body) && tunnel.push(null));
  assert.equal(await answersAsEditor(costly, 4000, undefined), false);
});

test("whoever gives up is not told that nothing is there", async () => {
  const sandbox = guest(() => undefined);
  const stop = new AbortController();
  const answer = answersAsEditor(sandbox, 4000, stop.signal);
  stop.abort(new Error("interrupted"));
  await assert.rejects(answer, /interrupted/);
});
