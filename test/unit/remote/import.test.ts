/** Disk files on their way to a server: whole, or nothing of them. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { decodePieces, encodePieces, MAX_PIECE_BYTES } from "../../../src/protocol/import-upgrade.ts";
import type { ImportSpec } from "../../../src/runtime/disks.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { openRemoteRuntime } from "../../../src/runtime/remote/index.ts";
import { volumeInfo } from "../../fake-disks.ts";
import { openRemoteBench } from "./remote-bench.ts";

const CONTENT = Buffer.from(Array.from({ length: 1_000_003 }, (_, index) => (index * 7919) % 251));

async function* inChunks(bytes: Buffer, size = 70_001): AsyncIterable<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("pieces come out as they went in, however the connection cuts them; without the end they are nothing", async () => {
  const sent = await collect(encodePieces(inChunks(CONTENT, MAX_PIECE_BYTES + 1)));
  const small = await collect(encodePieces(inChunks(CONTENT.subarray(0, 1000), 7)));
  assert.ok((await collect(decodePieces(inChunks(small, 3)))).equals(CONTENT.subarray(0, 1000)));
  assert.ok((await collect(decodePieces(inChunks(sent)))).equals(CONTENT));
  await assert.rejects(collect(decodePieces(inChunks(sent.subarray(0, -4)))), /broke off/);
  await assert.rejects(collect(decodePieces(inChunks(Buffer.from([0xff, 0, 0, 0])))), /a piece of/);
});

test("a volume and a snapshot are made of what was sent, byte for byte, under the name that was given", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const places = [
    [runtime.volumes, remote.volumes],
    [runtime.snapshots, remote.snapshots],
  ] as const;
  for (const [disks, api] of places) {
    const received = capture(disks);
    assert.equal((await api.import(inChunks(CONTENT), { slug: "mine" })).slug, "mine");
    assert.ok(received[0]?.equals(CONTENT));
    assert.equal((await api.import(inChunks(CONTENT), {})).slug, "imported");
  }
});

/** What a fake is given from now on. */
function capture(disks: {
  import: (source: AsyncIterable<Uint8Array>, spec: ImportSpec) => Promise<unknown>;
}): Buffer[] {
  const received: Buffer[] = [];
  const original = disks.import.bind(disks);
  disks.import = async (source, spec) => {
    received.push(await collect(source));
    return original(inChunks(Buffer.from("seen")), spec);
  };
  return received;
}

test("what the file may become is bounded by what is left of the organisation's quota", async (t) => {
  const { remote, runtime } = await openRemoteBench(t, { config: { quotas: { volumes: "1GB", maxVolume: "800MB" } } });
  runtime.volumes.volumes = [volumeInfo({ capacityBytes: 400_000_000 })];
  await remote.volumes.import(inChunks(CONTENT), { slug: "mine" });
  const [, , spec] = runtime.volumes.calls.at(-1) ?? [];
  assert.deepEqual(spec, { slug: "mine", maxBytes: 600_000_000 });
});

test("a file that the runtime does not take is refused with its reason, before all of it was sent", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  runtime.volumes.import = async (source) => {
    for await (const _chunk of source) break;
    throw new SbxError("disk_file_invalid", "the file cannot be imported: it is none of sbx's", { hint: "see docs" });
  };
  let sent = 0;
  const endless = async function* (): AsyncIterable<Buffer> {
    for (;;) {
      sent += CONTENT.length;
      yield CONTENT;
      await sleep(0);
    }
  };
  await assert.rejects(remote.volumes.import(endless(), {}), { code: "disk_file_invalid", hint: "see docs" });
  assert.ok(sent > 0);
});

test("a source that fails, and a client that goes, leave the runtime with a source that breaks off", async (t) => {
  const { remote, runtime } = await openRemoteBench(t);
  const ends: Promise<unknown>[] = [];
  runtime.volumes.import = async (source) => {
    const read = collect(source);
    ends.push(read.catch((error: unknown) => error));
    await read;
    throw new Error("it was whole");
  };
  const failing = async function* (): AsyncIterable<Buffer> {
    yield CONTENT;
    throw new Error("the disk is broken");
  };
  await assert.rejects(remote.volumes.import(failing(), {}), /the disk is broken/);
  assert.ok((await ends[0]) instanceof Error);
  const stop = new AbortController();
  const waiting = async function* (): AsyncIterable<Buffer> {
    yield CONTENT;
    stop.abort();
    await new Promise(() => undefined);
  };
  await assert.rejects(remote.volumes.import(waiting(), {}, { signal: stop.signal }), { code: "aborted" });
  assert.ok((await ends[1]) instanceof Error);
});

test("a token that may not change volumes may not send any", async (t) => {
  const { makeToken, machine, url } = await openRemoteBench(t);
  await using remote = await openRemoteRuntime({
    endpoint: url,
    token: makeToken({ scopes: ["read", "sandboxes"] }),
    machine,
  });
  await assert.rejects(remote.volumes.import(inChunks(CONTENT), {}), { code: "not_authenticated" });
});
