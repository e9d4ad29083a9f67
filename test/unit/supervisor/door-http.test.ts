/** Calls at the supervisor's door, whatever they are about: bounded, parsed once, and failures answered in one way. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import net from "node:net";
import path from "node:path";
import * as z from "zod/mini";
import { SbxError } from "../../../src/runtime/errors.ts";
import { answerCall, type DoorTable } from "../../../src/supervisor/door-http.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { ask } from "./supervisor-bench.ts";

const SECRET = "sk-live-never-quoted";

interface Thing {
  signals: AbortSignal[];
  fail?: Error;
}

const TABLE: DoorTable<Thing> = {
  id: /^[a-z]{3}$/,
  routes: {
    "/things": {
      GET: { answer: () => ["thing"] },
      POST: { maxBytes: 64, answer: (_thing, { body }) => z.object({ size: z.number() }).parse(body) },
    },
    "/things/*": {
      DELETE: {
        answer: (thing, { id }) => {
          if (thing.fail !== undefined) throw thing.fail;
          return { id };
        },
      },
      POST: {
        answer: (thing, { signal }) => {
          thing.signals.push(signal);
          return new Promise(() => undefined);
        },
      },
    },
  },
};

async function open(t: TestContext, thing: Thing = { signals: [] }): Promise<string> {
  const socketPath = path.join(temporaryDirectory(t), "s.sock");
  const server = createServer((request, response) => {
    void answerCall(request, response, request.url ?? "", TABLE, () => thing).then((known) => {
      if (!known) response.writeHead(404).end("null");
    });
  });
  server.listen(socketPath);
  await once(server, "listening");
  t.after(() => server.close());
  return socketPath;
}

test("a call is answered with what its route says, and an id in the path reaches it", async (t) => {
  const socketPath = await open(t);
  assert.deepEqual(await ask(socketPath, "GET", "/things"), { status: 200, body: ["thing"] });
  assert.deepEqual(await ask(socketPath, "DELETE", "/things/abc"), { status: 200, body: { id: "abc" } });
  assert.deepEqual(await ask(socketPath, "POST", "/things", '{"size":1}'), { status: 200, body: { size: 1 } });
});

test("a path that the table does not have is somebody else's", async (t) => {
  const socketPath = await open(t);
  for (const target of ["/", "/thing", "/things/", "/things/*", "/things/abcd", "/things/abc/abc", "/toString", "/*"]) {
    assert.equal((await ask(socketPath, "DELETE", target)).status, 404, target);
  }
});

test("another method is refused with those that there are", async (t) => {
  const socketPath = await open(t);
  const message = "/things takes GET and POST";
  assert.deepEqual(await ask(socketPath, "PUT", "/things"), {
    status: 405,
    body: { code: "METHOD_NOT_ALLOWED", message },
  });
});

test("a body that is too long, no JSON, or of another form is refused and never quoted", async (t) => {
  const socketPath = await open(t);
  const answers = [
    ["/things", 413, "BODY_TOO_LARGE", "a body has up to 64 bytes here", `"${SECRET}${" ".repeat(64)}"`],
    ["/things/abc", 413, "BODY_TOO_LARGE", "a body has up to 0 bytes here", "{}"],
    ["/things", 400, "usage", "the body is not JSON", SECRET],
    [
      "/things",
      400,
      "usage",
      "the body is not what this call takes: size: Invalid input: expected number, received string",
      `{"size":"${SECRET}"}`,
    ],
  ] as const;
  for (const [target, status, code, message, body] of answers) {
    assert.deepEqual(await ask(socketPath, "POST", target, body), { status, body: { code, message } });
  }
});

test("a failure is answered with its code, its hint and the status of its code", async (t) => {
  const failures = [
    [400, new SbxError("usage", "no", { hint: "sbx help" })],
    [400, new SbxError("config_invalid", "no", { hint: "sbx help" })],
    [404, new SbxError("volume_not_found", "no", { hint: "sbx help" })],
    [500, new SbxError("guest_error", "no", { hint: "sbx help" })],
  ] as const;
  for (const [status, fail] of failures) {
    const answer = await ask(await open(t, { signals: [], fail }), "DELETE", "/things/abc");
    assert.deepEqual(answer, { status, body: { code: fail.code, message: "no", hint: "sbx help" } });
  }
  const broken = await ask(await open(t, { signals: [], fail: new Error("torn") }), "DELETE", "/things/abc");
  assert.deepEqual(broken, { status: 500, body: { code: "internal", message: "torn" } });
});

test("a call is told when nobody waits for its answer any more", async (t) => {
  const thing: Thing = { signals: [] };
  const socket = net.connect(await open(t, thing));
  socket.write("POST /things/abc HTTP/1.1\r\nhost: sandbox\r\ncontent-length: 0\r\n\r\n");
  while (thing.signals.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const [signal] = thing.signals;
  assert.ok(signal?.aborted === false);
  const told = once(signal, "abort");
  socket.destroy();
  await told;
});
