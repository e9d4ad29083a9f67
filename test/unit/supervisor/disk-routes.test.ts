/** Calls about disks at the supervisor's door: what is well-formed reaches the disks, and nothing else does. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import path from "node:path";
import { SbxError } from "../../../src/runtime/errors.ts";
import { DISK_CALLS, type DiskControl } from "../../../src/supervisor/disks/door-routes.ts";
import { answerCall } from "../../../src/supervisor/door-http.ts";
import type { AttachedVolume, VolumeAttachment } from "../../../src/protocol/disk-calls.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { ask } from "./supervisor-bench.ts";

const ID = "vol_loc_0123456789abcdefghjk";
const VOLUME: VolumeAttachment = {
  ...{ id: ID, name: "data", path: "/data", access: "read-write", capacityBytes: 1024 },
  layers: [{ path: "/layers/1.raw", format: "raw" }],
};
const ATTACHED: AttachedVolume = {
  ...{ id: ID, name: "data", path: "/data", access: "read-write" },
  capacityBytes: 1024,
  device: "sda",
};

async function open(t: TestContext, failure?: SbxError): Promise<{ socketPath: string; calls: unknown[] }> {
  const socketPath = path.join(temporaryDirectory(t), "s.sock");
  const calls: unknown[] = [];
  const done = <T>(answer: T, ...call: unknown[]): Promise<T> => {
    calls.push(call);
    return failure === undefined ? Promise.resolve(answer) : Promise.reject(failure);
  };
  const disks: DiskControl = {
    list: () => [ATTACHED],
    attach: (volume) => done(ATTACHED, "attach", volume),
    detach: (id) => done(ATTACHED, "detach", id),
    resize: (id, call) => done(ATTACHED, "resize", id, call),
    snapshot: (call) => done({ isClean: true, pausedMs: 1 }, "snapshot", call),
  };
  const server = createServer((request, response) => {
    void answerCall(request, response, request.url ?? "", DISK_CALLS, async () => Promise.resolve(disks)).then(
      (known) => {
        if (!known) response.writeHead(404).end("null");
      },
    );
  });
  server.listen(socketPath);
  await once(server, "listening");
  t.after(() => server.close());
  return { socketPath, calls };
}

test("each call reaches the disks with what was sent, and is answered with what they say", async (t) => {
  const { socketPath, calls } = await open(t);
  const send = async (method: string, target: string, body?: unknown): Promise<unknown> => {
    const answer = await ask(socketPath, method, target, body === undefined ? undefined : JSON.stringify(body));
    assert.equal(answer.status, 200);
    return answer.body;
  };
  assert.deepEqual(await send("GET", "/sbx/v1/volumes"), [ATTACHED]);
  assert.deepEqual(await send("POST", "/sbx/v1/volumes", { ...VOLUME, more: 1 }), ATTACHED);
  assert.deepEqual(await send("PATCH", `/sbx/v1/volumes/${ID}`, { capacityBytes: 2048 }), ATTACHED);
  assert.deepEqual(await send("DELETE", `/sbx/v1/volumes/${ID}`), ATTACHED);
  const snapshot = { disk: "root", layerPath: "/layers/2.qcow2" };
  assert.deepEqual(await send("POST", "/sbx/v1/disk-snapshots", snapshot), { isClean: true, pausedMs: 1 });
  assert.deepEqual(calls, [
    ["attach", VOLUME],
    ["resize", ID, { capacityBytes: 2048 }],
    ["detach", ID],
    ["snapshot", snapshot],
  ]);
});

const REFUSED: [what: string, method: string, target: string, body: unknown, where: RegExp][] = [
  ["a volume without layers", "POST", "/sbx/v1/volumes", { ...VOLUME, layers: [] }, /layers/],
  ["an id that is none", "POST", "/sbx/v1/volumes", { ...VOLUME, id: "vol_loc_../../etc/passwd" }, /id/],
  [
    "a layer with a relative path",
    "POST",
    "/sbx/v1/volumes",
    { ...VOLUME, layers: [{ path: "x", format: "raw" }] },
    /path/,
  ],
  [
    "a layer of another format",
    "POST",
    "/sbx/v1/volumes",
    { ...VOLUME, layers: [{ path: "/x", format: "vmdk" }] },
    /format/,
  ],
  [
    "a chain without end",
    "POST",
    "/sbx/v1/volumes",
    { ...VOLUME, layers: Array(257).fill(VOLUME.layers[0]) },
    /layers/,
  ],
  ["the root as a mount point", "POST", "/sbx/v1/volumes", { ...VOLUME, path: "/" }, /path/],
  ["a way up in the mount point", "POST", "/sbx/v1/volumes", { ...VOLUME, path: "/a/../.." }, /path/],
  ["a size that is no number", "PATCH", `/sbx/v1/volumes/${ID}`, { capacityBytes: "1" }, /capacityBytes/],
  ["a size below one", "PATCH", `/sbx/v1/volumes/${ID}`, { capacityBytes: 0 }, /capacityBytes/],
  ["a disk of another name", "POST", "/sbx/v1/disk-snapshots", { disk: "layer0", layerPath: "/x" }, /disk/],
  ["no body", "POST", "/sbx/v1/disk-snapshots", undefined, /body/],
];

for (const [what, method, target, body, where] of REFUSED) {
  test(`${what} is refused, with where it is wrong`, async (t) => {
    const { socketPath, calls } = await open(t);
    const answer = await ask(socketPath, method, target, body === undefined ? undefined : JSON.stringify(body));
    assert.equal(answer.status, 400);
    assert.match((answer.body as { message: string }).message, where);
    assert.deepEqual(calls, []);
  });
}

test("other targets are somebody else's, and other methods are refused", async (t) => {
  const { socketPath, calls } = await open(t);
  for (const target of ["/sbx/v1/volumes/", "/sbx/v1/volumes/*", "/sbx/v1/volumes/x", "/sbx/v1/volume", "/"]) {
    assert.equal((await ask(socketPath, "DELETE", target)).status, 404, target);
  }
  assert.equal((await ask(socketPath, "PUT", "/sbx/v1/volumes")).status, 405);
  assert.equal((await ask(socketPath, "POST", "/sbx/v1/volumes", "{")).status, 400);
  assert.equal((await ask(socketPath, "POST", "/sbx/v1/volumes", " ".repeat(1024 ** 2 + 1))).status, 413);
  assert.deepEqual(calls, []);
});

test("what goes wrong is answered with its code and hint", async (t) => {
  const busy = new SbxError("guest_error", "it is in use by bash (7)", { hint: "end it" });
  const { socketPath } = await open(t, busy);
  const answer = await ask(socketPath, "DELETE", `/sbx/v1/volumes/${ID}`);
  assert.deepEqual(answer, { status: 500, body: { code: "guest_error", message: busy.message, hint: "end it" } });
  const unknown = await open(t, new SbxError("volume_not_found", "no such volume"));
  assert.equal((await ask(unknown.socketPath, "DELETE", `/sbx/v1/volumes/${ID}`)).status, 404);
});
