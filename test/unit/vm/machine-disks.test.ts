/** Files and disks that a running QEMU is given: a real one, without a guest. */
import { test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, closeSync, openSync, readFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { SbxError } from "../../../src/runtime/errors.ts";
import { createOverlay } from "../../../src/vm/disk.ts";
import { MachineDisks } from "../../../src/vm/machine-disks.ts";
import type { FileSender } from "../../../src/vm/qmp.ts";
import { QemuFiles } from "../../../src/vm/qemu-files.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";
import { startIdleMachine, type IdleMachine } from "./support/idle-machine.ts";

const MiB = 1024 ** 2;

interface Bench {
  machine: IdleMachine;
  disks: MachineDisks;
  directory: string;
  /** Makes a raw file and returns its path. */
  raw: (name: string, bytes?: number) => string;
  /** Makes an empty qcow2 layer and returns its path. */
  overlay: (name: string, bytes?: number) => Promise<string>;
}

async function open(t: TestContext, change: (send: FileSender) => FileSender = (send) => send): Promise<Bench> {
  const directory = temporaryDirectory(t);
  const raw = (name: string, bytes = 16 * MiB): string => {
    const file = path.join(directory, name);
    writeFileSync(file, "");
    truncateSync(file, bytes);
    return file;
  };
  const machine = await startIdleMachine(t, raw("root"));
  const files = new QemuFiles(machine.qmp, change(machine.send));
  return {
    ...{ machine, directory, raw },
    disks: new MachineDisks({
      ...{ qmp: machine.qmp, files, rootWrites: "discarded" },
      rootTop: { path: path.join(directory, "root"), format: "raw" },
    }),
    overlay: async (name, bytes = 16 * MiB) => {
      const file = path.join(directory, name);
      await createOverlay(file, { path: "below", format: "raw" }, bytes);
      return file;
    },
  };
}

/** What QEMU has of a disk besides its root. */
async function traces({ machine, directory }: Bench): Promise<object> {
  const files = machine.openFiles(directory).filter((name) => name !== "root");
  return { files, sets: await machine.sets(), nodes: (await machine.nodes()).filter((name) => name !== "root") };
}

const NOTHING = { files: [], sets: 0, nodes: [] };

/** How QEMU finds the disks on its controller. */
async function attached({ machine }: Bench): Promise<unknown[]> {
  const blocks = (await machine.qmp.execute("query-block")) as { qdev?: string; inserted?: Record<string, unknown> }[];
  return blocks
    .filter(({ qdev }) => qdev !== undefined && qdev.startsWith("vol"))
    .map(({ qdev, inserted }) => ({ qdev, ro: inserted?.ro, node: inserted?.["node-name"] }));
}

test("QEMU opens a file by the descriptor that it was given, with that descriptor's rights", async (t) => {
  const { machine, raw } = await open(t);
  const file = raw("file");
  const fd = openSync(file, "r");
  const [set] = await machine.files.give([[{ fd, access: "read-only" }]]);
  closeSync(fd);
  const node = (readOnly: boolean): object => ({
    driver: "raw",
    "node-name": `n${readOnly}`,
    "read-only": readOnly,
    file: { driver: "file", filename: set?.path, "read-only": readOnly },
  });
  await assert.rejects(machine.qmp.execute("blockdev-add", { ...node(false) }), /QEMU refused a command: Could not/);
  await machine.qmp.execute("blockdev-add", { ...node(true) });
});

test("commands of this process and files of the other program never mix", async (t) => {
  const { machine, raw } = await open(t);
  const fds = Array.from({ length: 12 }, (_, index) => openSync(raw(`file${index}`), "r"));
  const chatter = Array.from({ length: 200 }, async () => machine.qmp.execute("query-status"));
  const gifts = fds.map(async (fd) => machine.files.give([[{ fd, access: "read-only" }]]));
  chatter.push(...Array.from({ length: 200 }, async () => machine.qmp.execute("query-name")));
  const sets = (await Promise.all(gifts)).flat();
  await Promise.all(chatter);
  fds.forEach((fd) => closeSync(fd));
  assert.equal(await machine.sets(), 12);
  assert.equal(new Set(sets.map((set) => set.path)).size, 12);
  await Promise.all(sets.map(async (set) => set.remove()));
  assert.equal(await machine.sets(), 0);
});

test("files of one gift are each in their own set, in order", async (t) => {
  const { machine, raw, directory } = await open(t);
  const names = ["a", "b", "c", "d"];
  const fds = names.map((name) => openSync(raw(name), "r"));
  const sets = await machine.files.give(fds.map((fd) => [{ fd, access: "read-only" }]));
  fds.forEach((fd) => closeSync(fd));
  for (const [index, name] of names.entries()) {
    assert.ok(machine.openFiles(directory).includes(name));
    await sets[index]?.remove();
    assert.ok(!machine.openFiles(directory).includes(name), `${name} went with its set`);
  }
});

test("a program that cannot be run gives nothing, and the monitor goes on", async (t) => {
  const bench = await open(t, () => async () => Promise.reject(new Error("no such program")));
  const file = bench.raw("volume");
  await assert.rejects(
    bench.disks.attach({ serial: "vol_1", layers: [{ path: file, format: "raw" }], access: "read-write" }),
    /no such program/,
  );
  assert.deepEqual(await traces(bench), NOTHING);
  assert.deepEqual(await bench.machine.qmp.execute("query-name"), {});
});

test("a program that is ended in the middle leaves none of the files behind", async (t) => {
  const bench = await open(t, (send) => async (socket, lines) => {
    await send(socket, lines.slice(0, 2));
    throw new Error("it was killed");
  });
  const layers = [
    { path: bench.raw("base"), format: "raw" as const },
    { path: await bench.overlay("middle"), format: "qcow2" as const },
    { path: await bench.overlay("top"), format: "qcow2" as const },
  ];
  await assert.rejects(bench.disks.attach({ serial: "vol_1", layers, access: "read-write" }), /it was killed/);
  assert.deepEqual(await traces(bench), NOTHING);
  assert.deepEqual(bench.disks.serials, []);
});

test("a disk is a chain of files whose top alone may be written, and it leaves nothing when it is taken away", async (t) => {
  const bench = await open(t);
  const layers = [
    { path: bench.raw("base"), format: "raw" as const },
    { path: await bench.overlay("top"), format: "qcow2" as const },
  ];
  // Neither the owner nor the mode of a file has to be the machine's.
  for (const { path: file } of layers) chmodSync(file, 0o600);
  await bench.disks.attach({ serial: "vol_1", layers, access: "read-write" });
  assert.deepEqual(await attached(bench), [{ qdev: "vol_1", ro: false, node: "disk1" }]);
  assert.deepEqual(bench.disks.serials, ["vol_1"]);
  await bench.disks.detach("vol_1");
  assert.deepEqual(await attached(bench), []);
  assert.deepEqual(await traces(bench), NOTHING);
});

test("a disk that is only read shows as such, and several may be there", async (t) => {
  const bench = await open(t);
  const layers = (name: string) => [{ path: bench.raw(name), format: "raw" as const }];
  await bench.disks.attach({ serial: "vol_1", layers: layers("one"), access: "read-only" });
  await bench.disks.attach({ serial: "vol_2", layers: layers("two"), access: "read-write" });
  assert.deepEqual(await attached(bench), [
    { qdev: "vol_1", ro: true, node: "disk1" },
    { qdev: "vol_2", ro: false, node: "disk2" },
  ]);
  await assert.rejects(
    bench.disks.attach({ serial: "vol_2", layers: layers("three"), access: "read-write" }),
    /the disk vol_2 is attached already/,
  );
});

const FAILURES: [
  what: string,
  message: RegExp,
  layers: (bench: Bench) => { path: string; format: "raw" | "qcow2" }[],
][] = [
  ["a missing file", /the disk file .*gone cannot be opened/, (b) => [{ path: `${b.directory}/gone`, format: "raw" }]],
  ["a directory for a file", /the disk file .* cannot be opened/, (b) => [{ path: b.directory, format: "raw" }]],
  ["a raw file that is said to be qcow2", /not in qcow2 format/, (b) => [{ path: b.raw("x"), format: "qcow2" }]],
  [
    "a raw layer on top of another",
    /a raw layer stands on nothing/,
    (b) => [
      { path: b.raw("x"), format: "raw" },
      { path: b.raw("y"), format: "raw" },
    ],
  ],
];

for (const [what, message, layers] of FAILURES) {
  test(`a disk with ${what} is refused and leaves nothing`, async (t) => {
    const bench = await open(t);
    await assert.rejects(
      bench.disks.attach({ serial: "vol_1", layers: layers(bench), access: "read-write" }),
      (error: unknown) => error instanceof SbxError && message.test(error.message),
    );
    assert.deepEqual(await traces(bench), NOTHING);
    assert.deepEqual(bench.disks.serials, []);
  });
}

test("a serial number that QEMU refuses takes the files back as well", async (t) => {
  const bench = await open(t);
  const layers = [{ path: bench.raw("x"), format: "raw" as const }];
  await assert.rejects(bench.disks.attach({ serial: "1 2", layers, access: "read-write" }), /QEMU refused a command/);
  assert.deepEqual(await traces(bench), NOTHING);
});

test("a snapshot freezes several disks at once; the frozen files are only read from then on, whatever their names", async (t) => {
  const bench = await open(t);
  const base = bench.raw("base");
  await bench.disks.attach({ serial: "vol_1", layers: [{ path: base, format: "raw" }], access: "read-write" });
  const overlays = [
    { disk: "root", layerPath: await bench.overlay("root-overlay") },
    { disk: "vol_1", layerPath: await bench.overlay("overlay") },
  ];
  const steps: string[] = [];
  await bench.disks.snapshot(overlays, async (take) => {
    steps.push("still");
    await take();
    steps.push("on");
  });
  assert.deepEqual(steps, ["still", "on"]);
  assert.deepEqual(await attached(bench), [{ qdev: "vol_1", ro: false, node: "disk3" }]);
  assert.deepEqual(writableFiles(bench), ["overlay", "root-overlay"]);
  // A second one, although the files were renamed meanwhile.
  renameSync(base, `${base}-2`);
  renameSync(path.join(bench.directory, "overlay"), path.join(bench.directory, "head"));
  await bench.disks.snapshot([{ disk: "vol_1", layerPath: await bench.overlay("next") }], (take) => take());
  assert.deepEqual(writableFiles(bench), ["next", "root-overlay"]);
  await bench.disks.detach("vol_1");
  assert.deepEqual(await bench.machine.nodes(), ["disk2", "root"]);
  assert.deepEqual(
    bench.machine.openFiles(bench.directory).filter((name) => !name.startsWith("root")),
    [],
  );
});

function writableFiles({ machine, directory }: Bench): string[] {
  const flags = (fd: string): number =>
    Number.parseInt(/^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${machine.pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "0", 8);
  const open = machine.openDescriptors(directory).filter(({ fd }) => (flags(fd) & 3) !== 0);
  return [...new Set(open.map(({ name }) => name))].sort();
}

test("a snapshot that is given up before it is taken leaves the disks as they were", async (t) => {
  const bench = await open(t);
  await bench.disks.attach({
    serial: "vol_1",
    layers: [{ path: bench.raw("base"), format: "raw" }],
    access: "read-write",
  });
  const before = await traces(bench);
  const overlay = { disk: "vol_1", layerPath: await bench.overlay("overlay") };
  await assert.rejects(
    bench.disks.snapshot([overlay], async () => Promise.reject(new Error("the guest does not answer"))),
    /the guest does not answer/,
  );
  assert.deepEqual(await traces(bench), before);
  await assert.rejects(
    bench.disks.snapshot([{ ...overlay, disk: "vol_2" }], (take) => take()),
    /no disk vol_2/,
  );
  await assert.rejects(
    bench.disks.snapshot([{ disk: "vol_1", layerPath: await bench.overlay("small", 8 * MiB) }], (take) => take()),
    /small has 8388608 bytes, and the disk vol_1 has 16777216/,
  );
  await assert.rejects(
    bench.disks.snapshot([overlay, { disk: "root", layerPath: bench.raw("no-qcow2") }], (take) => take()),
    /not in qcow2 format/,
  );
  assert.deepEqual(await traces(bench), before);
});

test("a guest that does not go on after its disk was frozen is told apart from one whose disk was not", async (t) => {
  const bench = await open(t);
  await bench.disks.attach({
    serial: "vol_1",
    layers: [{ path: bench.raw("x"), format: "raw" }],
    access: "read-write",
  });
  const layerPath = await bench.overlay("overlay");
  const snapshot = bench.disks.snapshot([{ disk: "vol_1", layerPath }], async (take) => {
    await take();
    throw new SbxError("vm_start_failed", "no answer to cont");
  });
  await assert.rejects(snapshot, (error: unknown) => error instanceof SbxError && error.code === "supervisor_lost");
  assert.equal(await bench.disks.isOnTop("vol_1", layerPath), true);
  assert.deepEqual(writableFiles(bench), ["overlay", "root"]);
});

test("a QEMU that ends before it says whether the disk was frozen may have written to the new layer: that is told, too", async (t) => {
  const bench = await open(t);
  const layers = [{ path: bench.raw("x"), format: "raw" as const }];
  await bench.disks.attach({ serial: "vol_1", layers, access: "read-write" });
  const layerPath = await bench.overlay("overlay");
  const snapshot = bench.disks.snapshot([{ disk: "vol_1", layerPath }], async (take) => {
    process.kill(bench.machine.pid, "SIGSTOP");
    const taken = take();
    process.kill(bench.machine.pid, "SIGKILL");
    await taken;
  });
  await assert.rejects(snapshot, (error: unknown) => error instanceof SbxError && error.code === "supervisor_lost");
});

test("a disk that another machine writes to is attached when that one has ended, and not before", async (t) => {
  const [first, second] = [await open(t), await open(t)];
  const layers = [{ path: first.raw("x"), format: "raw" as const }];
  const disk = { serial: "vol_1", layers, access: "read-write" as const };
  await first.disks.attach(disk);
  let done = false;
  const attaching = second.disks.attach(disk).then(() => (done = true));
  await second.machine.qmp.execute("query-status");
  await second.machine.qmp.execute("query-status");
  assert.equal(done, false);
  process.kill(first.machine.pid, "SIGKILL");
  await attaching;
  assert.deepEqual(second.disks.serials, ["vol_1"]);
});

test("the end of QEMU in the middle is an error, not a hang", async (t) => {
  const bench = await open(t);
  const layers = [{ path: bench.raw("base"), format: "raw" as const }];
  const attaching = bench.disks.attach({ serial: "vol_1", layers, access: "read-write" });
  process.kill(bench.machine.pid, "SIGKILL");
  await assert.rejects(attaching);
  await assert.rejects(bench.disks.attach({ serial: "vol_1", layers, access: "read-write" }));
});
