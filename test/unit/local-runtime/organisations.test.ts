/** Homes of organisations, and the raw connection to a sandbox's RPC. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import path from "node:path";
import { test } from "node:test";
import { pinImages, usersElsewhere } from "../../../src/runtime/local/organisations/image-pins.ts";
import { organisationPaths } from "../../../src/runtime/local/organisations/organisation-paths.ts";
import { statePaths } from "../../../src/runtime/local/paths.ts";
import { openRpcDoor } from "../../../src/runtime/local/rpc-door.ts";
import { openState } from "../../../src/runtime/local/state.ts";
import { ownIdentity } from "../../../src/host/process-identity.ts";
import { sampleSandbox } from "../store/sample-sandbox.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

test("no path of an organisation is another's or the user's own, but for images and what the machine can do", (t) => {
  const home = temporaryDirectory(t);
  const own = statePaths({ SBX_HOME: home });
  const [acme, other] = ["acme", "other"].map((name) => organisationPaths(name, path.join(home, "server"), own));
  const common = ["imageDataPath", "verdictPath"];
  const all = [own, acme, other].flatMap((paths) =>
    Object.entries(paths ?? {}).flatMap(([key, value]) => (common.includes(key) ? [] : [String(value)])),
  );
  // Its data directory is where the user's images lie.
  assert.equal(new Set(all).size, all.length);
  assert.equal(acme?.imageDataPath, own.dataPath);
  for (const name of ["local", "..", "a/b", "A", "", "a".repeat(64)]) {
    assert.throws(() => organisationPaths(name, home, own), { code: "usage" }, name);
  }
});

test("an organisation's sockets have short paths, wherever the user's own are", (t) => {
  for (const length of [10, 40, 60, 64, 70, 75, 120]) {
    const home = path.join(temporaryDirectory(t), "h".repeat(length));
    const own = statePaths({ SBX_HOME: home });
    const { socketsPath } = organisationPaths("acme", path.join(home, "server"), own);
    assert.ok(Buffer.byteLength(path.join(socketsPath, "sbx_loc_00000000000000000000.sock")) <= 107, socketsPath);
    assert.notEqual(socketsPath, own.socketsPath);
  }
});

test("an image has users in the homes of organisations, until those are gone", async (t) => {
  const home = temporaryDirectory(t);
  const own = statePaths({ SBX_HOME: home });
  const paths = organisationPaths("acme", path.join(home, "server"), own);
  assert.deepEqual(usersElsewhere(own, "a"), []);
  pinImages(paths);
  pinImages(paths);
  assert.deepEqual(usersElsewhere(own, "a"), []);
  using state = await openState({}, paths);
  const sandbox = sampleSandbox({ creator: ownIdentity() });
  state.store.insert(sandbox);
  assert.deepEqual(usersElsewhere(own, sandbox.spec.imageId), [
    { kind: "sandbox", name: `${sandbox.id} of organisation acme` },
  ]);
  assert.deepEqual(usersElsewhere(paths, sandbox.spec.imageId), []);
  rmSync(path.join(home, "server"), { recursive: true });
  assert.deepEqual(usersElsewhere(own, sandbox.spec.imageId), []);
});

test("the RPC's door is sent the handshake alone, and the caller has the connection", async (t) => {
  const socketPath = path.join(temporaryDirectory(t), "s.sock");
  const server = createServer((socket) => socket.once("data", (chunk) => socket.end(chunk))).listen(socketPath);
  await once(server, "listening");
  t.after(() => server.close());
  const open = async (...fields: [string, string][]): Promise<Socket> =>
    openRpcDoor({ socketPath, id: "sbx_loc_1", handshake: fields, signal: undefined });
  const socket = await open(["sec-websocket-key", "k"], ["x-sbx-extensions", "1"]);
  let echoed = "";
  for await (const chunk of socket) echoed += String(chunk);
  assert.equal(
    echoed,
    "GET /api/v3/sandbox/sbx_loc_1/connect HTTP/1.1\r\nhost: sandbox\r\nconnection: Upgrade\r\nupgrade: websocket\r\n" +
      "sec-websocket-key: k\r\nx-sbx-extensions: 1\r\n\r\n",
  );
  for (const [name, value] of [
    ["x-sbx-primary", "t"],
    ["authorization", "t"],
    ["sec-websocket-key", "k\r\nx-sbx-primary: t"],
  ] as const) {
    await assert.rejects(open([name, value]), { code: "usage" }, name);
  }
  server.close();
  await assert.rejects(openRpcDoor({ socketPath: `${socketPath}.none`, id: "x", handshake: [], signal: undefined }), {
    code: "supervisor_lost",
  });
});
