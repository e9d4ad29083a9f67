/** The supervisor's door: only its own sandbox, only well-formed requests, and no request that ends the process. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { SbxError } from "../../../src/runtime/errors.ts";
import type { SandboxInfo } from "../../../src/runtime/types.ts";
import { openDoor, type DoorOptions } from "../../../src/supervisor/socket-server.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { ask } from "./supervisor-bench.ts";

const ID = "sbx_loc_0123456789abcdefghjk";

async function open(t: TestContext): Promise<{ socketPath: string; events: string[]; close: () => void }> {
  const socketPath = path.join(temporaryDirectory(t), "s.sock");
  const events: string[] = [];
  const options: DoorOptions = {
    id: ID,
    socketPath,
    info: () => ({ id: ID }) as SandboxInfo,
    stop: async (reason) => void events.push(`stop ${reason}`),
    extendTo: (stopAtMs) => stopAtMs + 1,
    connected: (socket) => {
      events.push("connected");
      socket.close();
    },
    ssh: () => false,
    http: () => false,
    folders: () => [],
    machine: () => assert.fail("nobody asked for the machine"),
    disks: () => assert.fail("nobody asked for the disks"),
    exposures: () => assert.fail("nobody asked for the URLs"),
    domains: () => assert.fail("nobody asked for the names"),
    usage: async () => ({ measure: async () => assert.fail("nobody asked what it uses") }),
    network: {
      setSecrets: () => ({ set: [], missing: [] }),
      denied: [],
      view: () => Promise.reject(new SbxError("internal", "no network here")),
      check: () => Promise.reject(new SbxError("usage", "no such host", { hint: "sbx net show" })),
      changeRules: () => ({ rules: [], stillDenied: [] }),
    },
  };
  const door = await openDoor(options);
  t.after(() => door.close());
  return { socketPath, events, close: () => door.close() };
}

/** Sends raw bytes and returns all that comes back. */
async function raw(socketPath: string, text: string): Promise<string> {
  const socket = connect(socketPath);
  let answer = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => (answer += chunk));
  socket.on("error", () => undefined);
  socket.write(text);
  await once(socket, "close");
  return answer;
}

function upgrade(target: string): string {
  return `GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
}

test("the socket is closed to other users, and gone after the door is closed", async (t) => {
  const { socketPath, close } = await open(t);
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  close();
  assert.equal(existsSync(socketPath), false);
});

test("a sandbox is ended by its own id only", async (t) => {
  const { socketPath, events } = await open(t);
  assert.equal((await ask(socketPath, "DELETE", "/api/v3/sandbox/sbx_loc_other")).status, 404);
  assert.deepEqual(events, []);
  assert.equal((await ask(socketPath, "DELETE", `/api/v3/sandbox/${ID}?reason=session_ended`)).status, 200);
  assert.equal((await ask(socketPath, "DELETE", `/api/v3/sandbox/${ID}?reason=<anything>`)).status, 200);
  assert.deepEqual(events, ["stop session_ended", "stop killed"]);
});

for (const body of ["", "{", "null", "{}", '{"stop_at_ms":"1"}', '{"stop_at_ms":1e300}', '{"stop_at_ms":null}']) {
  test(`an extension with the body ${JSON.stringify(body)} is refused`, async (t) => {
    const { socketPath } = await open(t);
    const answer = await ask(socketPath, "PATCH", `/api/v3/sandbox/${ID}`, body);
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, { code: "INVALID_CONFIG", message: "stop_at_ms must be a time in ms" });
  });
}

test("an extension answers the end that holds", async (t) => {
  const { socketPath } = await open(t);
  const answer = await ask(socketPath, "PATCH", `/api/v3/sandbox/${ID}`, '{"stop_at_ms": 5}');
  assert.deepEqual(answer, { status: 200, body: { stop_at_ms: 6 } });
});

test("a body that is too large is refused in words", async (t) => {
  const { socketPath } = await open(t);
  const answer = await ask(socketPath, "PATCH", `/api/v3/sandbox/${ID}`, " ".repeat(200_000));
  assert.equal(answer.status, 413);
});

test("a WebSocket for another sandbox, or for no path at all, is refused and ends nothing", async (t) => {
  const { socketPath, events } = await open(t);
  for (const target of ["/api/v3/sandbox/sbx_loc_other/connect", "//", "http://[", "/"]) {
    assert.match(await raw(socketPath, upgrade(target)), /^HTTP\/1\.1 404 /, target);
  }
  assert.match(await raw(socketPath, "GET // HTTP/1.1\r\nhost: x\r\n\r\n"), /^HTTP\/1\.1 400 /);
  assert.deepEqual(events, []);
  assert.match(
    await raw(socketPath, upgrade(`/api/v3/sandbox/${ID}/connect`)),
    /^HTTP\/1\.1 101 .*x-deno-sandbox-id: /is,
  );
  assert.deepEqual(events, ["connected"]);
});
