/** The disks of a sandbox between its machine and its guest: each is told the right thing, in order, also when the other fails. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { AgentError, type AgentLink } from "../../../src/guest/link.ts";
import type { VolumeAttachment } from "../../../src/protocol/disk-calls.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { SandboxDisks, type SandboxDisksOptions } from "../../../src/supervisor/disks/sandbox-disks.ts";

const ID = "vol_loc_0123456789abcdefghjk";
const VOLUME: VolumeAttachment = {
  ...{ id: ID, name: "data", path: "/data", access: "read-write", capacityBytes: 1024 ** 2 },
  layers: [{ path: "/layers/1.raw", format: "raw" }],
};

interface Bench {
  disks: SandboxDisks;
  /** What was asked of machine and guest, in order. */
  calls: string[];
  /** What a call answers instead: an error, or a promise that the test settles. */
  answers: Map<string, () => Promise<unknown>>;
  released: string[];
}

function open(change: Partial<SandboxDisksOptions> = {}): Bench {
  const calls: string[] = [];
  const released: string[] = [];
  const answers: Bench["answers"] = new Map();
  const does = async (name: string, otherwise: unknown = null): Promise<unknown> => {
    calls.push(name);
    return (await answers.get(name)?.()) ?? otherwise;
  };
  const tell = async (name: string): Promise<void> => {
    await does(name);
  };
  const onTop = new Map<string, string>();
  const disks = new SandboxDisks({
    machine: {
      attach: async ({ serial, layers, access }) => tell(`attach ${serial.slice(-2)} ${layers.length} ${access}`),
      detach: async () => tell("detach"),
      placeOf: async (serial) => Promise.resolve({ scsiId: 0, lun: serial.length }),
      resize: async (_serial, bytes) => tell(`resize ${bytes}`),
      isOnTop: async (disk, layerPath) => Promise.resolve(onTop.get(disk) === layerPath),
      snapshot: async ([overlay], around) => {
        await around(async () => tell("take"));
        if (overlay !== undefined) onTop.set(overlay.disk, overlay.layerPath);
      },
    },
    launch: {
      directory: "/nowhere",
      tools: { bubblewrap: null, prlimit: null, setpriv: null },
      rootWrites: "discarded",
    },
    link: {
      call: (async (method: string, { path }: { path?: string }) =>
        does(`${method} ${path ?? ""}`, { device: "sda", bytes: 1 })) as AgentLink["call"],
    },
    pid: 1,
    user: "app",
    stillness: () => "none",
    inTurn: async (work) => work(),
    released: (id) => released.push(id),
    ...change,
  });
  return { disks, calls, answers, released };
}

const fails = (error: Error) => async (): Promise<never> => Promise.reject(error);

test("a volume is attached, then mounted; unmounted, then taken away and released", async () => {
  const { disks, calls, released } = open();
  const attached = await disks.attach(VOLUME);
  assert.deepEqual(attached, {
    id: ID,
    name: "data",
    path: "/data",
    access: "read-write",
    capacityBytes: 1024 ** 2,
    device: "sda",
  });
  assert.deepEqual(disks.list(), [attached]);
  assert.deepEqual(disks.directories, ["/layers"]);
  await disks.detach(ID);
  assert.deepEqual(calls, ["attach jk 1 read-write", "mount /data", "unmount /data", "detach"]);
  assert.deepEqual([disks.list(), disks.directories, released], [[], [], [ID]]);
});

test("a volume that the guest cannot mount is taken away again, with the guest's reason", async () => {
  const { disks, calls, answers } = open();
  answers.set("mount /data", fails(new AgentError("EINVAL", "there is no ext4 file system on it", "/data")));
  answers.set("detach", fails(new Error("QEMU is gone")));
  await assert.rejects(disks.attach(VOLUME), (error: unknown) => {
    assert.ok(error instanceof SbxError);
    assert.deepEqual(
      [error.code, error.message],
      ["volume_broken", "volume data cannot be mounted at /data: there is no ext4 file system on it"],
    );
    return true;
  });
  assert.deepEqual(calls, ["attach jk 1 read-write", "mount /data", "detach"]);
  assert.deepEqual([disks.list(), disks.directories], [[], []]);
});

test("a volume that is in use stays, is not released, and its users are named", async () => {
  const { disks, calls, answers, released } = open();
  await disks.attach(VOLUME);
  answers.set("unmount /data", fails(new AgentError("EBUSY", "it is in use by bash (7)", "/data")));
  await assert.rejects(disks.detach(ID), /volume data cannot be detached: it is in use by bash \(7\)/);
  assert.deepEqual([calls.includes("detach"), disks.list().length, released], [false, 1, []]);
});

test("a volume that was unmounted by a call that failed afterwards is taken away by the next", async () => {
  const { disks, answers, released } = open();
  await disks.attach(VOLUME);
  answers.set("detach", fails(new SbxError("timeout", "QEMU did not let go of the disk")));
  await assert.rejects(disks.detach(ID), /did not let go/);
  assert.equal(disks.list().length, 1);
  answers.delete("detach");
  answers.set("unmount /data", fails(new AgentError("EINVAL", "no volume is mounted there", "/data")));
  await disks.detach(ID);
  assert.deepEqual(released, [ID]);
});

test("volumes that the machine was restored with are there, by the serial numbers that the guest knows", async () => {
  const machine: string[] = [];
  const { disks, calls, released } = open({
    machine: {
      attach: async () => Promise.resolve(),
      detach: async (serial) => Promise.resolve(void machine.push(`detach ${serial}`)),
      placeOf: async (serial) => Promise.resolve({ scsiId: 0, lun: serial.length }),
      resize: async (serial, bytes) => Promise.resolve(void machine.push(`resize ${serial} ${bytes}`)),
      isOnTop: async (disk) => Promise.resolve(void machine.push(`look at ${disk}`)).then(() => false),
      snapshot: async ([overlay], around) => {
        await around(async () => Promise.resolve(void machine.push(`take ${overlay?.disk}`)));
      },
    },
  });
  disks.adopt([{ ...VOLUME, serial: "source", place: { scsiId: 0, lun: 1 } }]);
  const { id, name, path, capacityBytes } = VOLUME;
  assert.deepEqual(await disks.places(), [
    { id, name, path, capacityBytes, serial: "source", place: { scsiId: 0, lun: 6 } },
  ]);
  assert.equal(disks.hasWrites, true);
  assert.deepEqual(disks.directories, ["/layers"]);
  await disks.resize(ID, { capacityBytes: 2 * 1024 ** 2 });
  await disks.snapshot({ disk: ID, layerPath: "/layers/2.qcow2" });
  await disks.detach(ID);
  assert.deepEqual(machine, ["resize source 2097152", "look at source", "take source", "detach source"]);
  assert.deepEqual(calls, ["grow /data", "freeze /data", "thaw /data", "unmount /data"]);
  assert.deepEqual(released, [ID]);
  await disks.attach(VOLUME);
  assert.equal((await disks.places())[0]?.serial, ID);
});

test("the original of a volume whose copy is there as well has a serial number of its own", async () => {
  const { disks } = open();
  const copy = { ...VOLUME, id: "vol_loc_0000000000000000000c", name: "copy", path: "/copy" };
  disks.adopt([{ ...copy, serial: ID, place: { scsiId: 0, lun: 1 } }]);
  await disks.attach(VOLUME);
  const serials = async (): Promise<string[]> => (await disks.places()).map(({ serial }) => serial);
  assert.deepEqual(await serials(), [ID, `${ID}_2`]);
  await disks.detach(copy.id);
  assert.deepEqual(await serials(), [`${ID}_2`]);
});

const SNAPSHOT = { disk: "root", layerPath: "/layers/2.qcow2" };

test("a snapshot is taken while the guest's file system stands still, and repeating it changes nothing", async () => {
  const { disks, calls } = open();
  const answer = await disks.snapshot(SNAPSHOT);
  assert.equal(answer.isClean, true);
  assert.deepEqual(calls, ["freeze /", "take", "thaw /"]);
  assert.deepEqual(await disks.snapshot(SNAPSHOT), answer);
  assert.equal(calls.length, 3);
});

for (const [what, call, expected] of [
  ["cannot freeze", "freeze /", ["freeze /", "thaw /", "take"]],
  ["went on by itself before", "thaw /", ["freeze /", "take", "thaw /"]],
] as const) {
  test(`a snapshot under a guest that ${what} is taken, and says that it is what a loss of power leaves`, async () => {
    const { disks, calls, answers } = open();
    answers.set(call, fails(new AgentError("EINVAL", "no")));
    assert.equal((await disks.snapshot(SNAPSHOT)).isClean, false);
    assert.deepEqual(calls, expected);
  });
}

test("a snapshot that QEMU refuses lets the guest go on", async () => {
  const { disks, calls, answers } = open();
  answers.set("take", fails(new SbxError("vm_start_failed", "QEMU refused")));
  await assert.rejects(disks.snapshot(SNAPSHOT), /QEMU refused/);
  assert.deepEqual(calls, ["freeze /", "take", "thaw /"]);
});

test("a guest that stands still is asked for nothing", async () => {
  const { disks, calls } = open({ stillness: () => "other" });
  assert.equal((await disks.snapshot(SNAPSHOT)).isClean, false);
  assert.deepEqual(calls, ["take"]);
  await assert.rejects(disks.attach(VOLUME), { code: "sandbox_paused", hint: "sbx resume" });
  assert.deepEqual(calls.slice(1), ["attach jk 1 read-write", "detach"]);
});

test("at the end only what outlives the sandbox is settled, whether or not the guest answers", async () => {
  const { disks, calls, answers } = open();
  assert.equal(disks.hasWrites, false);
  await disks.attach({ ...VOLUME, id: "vol_loc_0000000000000000000r", path: "/ro", access: "read-only" });
  assert.equal(disks.hasWrites, false);
  await disks.attach(VOLUME);
  assert.equal(disks.hasWrites, true);
  answers.set("freeze /data", fails(new SbxError("agent_protocol", "the link is gone")));
  await disks.settle();
  assert.deepEqual(calls.slice(-1), ["freeze /data"]);
  const kept = open({
    launch: { directory: "/", tools: { bubblewrap: null, prlimit: null, setpriv: null }, rootWrites: "kept" },
  });
  assert.equal(kept.disks.hasWrites, true);
  await kept.disks.settle();
  assert.deepEqual(kept.calls, ["freeze /"]);
});

test("a read-only volume is neither frozen nor grown, and no volume is made smaller", async () => {
  const { disks, calls } = open();
  await disks.attach({ ...VOLUME, access: "read-only" });
  const before = calls.length;
  await assert.rejects(disks.snapshot({ ...SNAPSHOT, disk: ID }), /attached read-only/);
  await assert.rejects(disks.resize(ID, { capacityBytes: 2 * 1024 ** 2 }), /attached read-only/);
  const other = open();
  await other.disks.attach(VOLUME);
  await assert.rejects(other.disks.resize(ID, { capacityBytes: 1024 }), /cannot be made smaller/);
  assert.equal((await other.disks.resize(ID, { capacityBytes: 2 * 1024 ** 2 })).capacityBytes, 2 * 1024 ** 2);
  assert.deepEqual(other.calls.slice(2), ["resize 2097152", "grow /data"]);
  assert.equal(calls.length, before);
});

test("a guest that stands still as the host's disk is full is no paused one: before a call, and while it waits", async () => {
  let stillness: "none" | "host's disk is full" = "host's disk is full";
  const { disks, answers } = open({ stillness: () => stillness });
  await assert.rejects(disks.attach(VOLUME), { code: "disk_full", hint: "sbx prune" });
  stillness = "none";
  answers.set("mount /data", async () => {
    stillness = "host's disk is full";
    return Promise.reject(new DOMException("too late", "TimeoutError"));
  });
  await assert.rejects(disks.attach(VOLUME), { code: "disk_full" });
});
