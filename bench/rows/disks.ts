/** Volumes and snapshots: made, attached, taken, started from and written to. */
import { execFileSync } from "node:child_process";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Sandbox } from "../../src/runtime/runtime.ts";
import {
  RANDOM_BYTES,
  SAFE_BLOCKS,
  STREAM_BYTES,
  type Write,
  writeInPlainMachine,
  writeInSandbox,
  WRITES,
} from "../disk-writer.ts";
import { preparePlainMachine } from "../plain-machine.ts";
import { megabytesPerSecond, timeProgram } from "../programs.ts";
import { outcome, type Outcome, type Row } from "../row.ts";
import { allInTurns, inTurns, repeat, timed } from "../statistics.ts";
import { execQuietly, openSandbox, type Bench } from "../workbench.ts";

const GB = 1e9;
const MAKE_REACH_MS = 150;
const SNAPSHOT_REACH_MS = 100;
const ROOT_REACH_TIMES = 1.2;
const WRITE_REACH_TIMES = 1.2;
const MOUNT = "/data";

type SandboxOfRow = Pick<Sandbox, "id" | "exec"> & AsyncDisposable;

/** Names of this run: an earlier one may have been killed. */
let made = 0;
function newName(kind: string): string {
  made += 1;
  return `bench-${kind}-${process.pid % 100_000}-${made}`;
}

export const volumeRow: Row = {
  id: "volume-make",
  title: "a volume of 10 GB: made, attached, detached",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { rounds } = bench.counts;
    const { volumes } = bench.runtime;
    const [create, other] = await inTurns(
      rounds,
      1,
      async () => {
        const slug = newName("make");
        const took = await timed(() => volumes.create({ slug, capacityBytes: 10 * GB }));
        await volumes.remove(slug);
        return took;
      },
      () => formatByHand(bench),
    );
    await using volume = await openVolume(bench, 10 * GB);
    await using sandbox = await openForRow(bench);
    const detached: number[] = [];
    const attached = await repeat(rounds, 1, async () => {
      const took = await timed(() => volumes.attach(volume.slug, sandbox.id, { path: MOUNT, access: "read-write" }));
      detached.push(await timed(() => volumes.detach(volume.slug, sandbox.id)));
      return took;
    });
    const isReached = (median: number): boolean => median <= MAKE_REACH_MS;
    const reach = `≤ ${MAKE_REACH_MS} ms`;
    return [
      outcome({
        ...{ id: "volume-create", what: "a volume of 10 GB made", unit: "ms", samples: create, reach, isReached },
        beside: { what: "truncate and mke2fs with its defaults", samples: other },
      }),
      outcome({ id: "volume-attach", what: "attached and mounted", unit: "ms", samples: attached, reach, isReached }),
      outcome({ id: "volume-detach", what: "unmounted and detached", unit: "ms", samples: detached.slice(1) }),
    ];
  },
};

export const snapshotRow: Row = {
  id: "snapshot-take",
  title: "a snapshot of a volume that holds 1 GB",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { volumes } = bench.runtime;
    await using volume = await openVolume(bench, 3 * GB);
    await using sandbox = await openForRow(bench);
    const attach = (): Promise<unknown> =>
      volumes.attach(volume.slug, sandbox.id, { path: MOUNT, access: "read-write" });
    await attach();
    await fill(sandbox, "little", 100);
    const little = await takeMany(bench, volume.slug);
    await fill(sandbox, "much", 900);
    const much = await takeMany(bench, volume.slug);
    await volumes.detach(volume.slug, sandbox.id);
    const alone = await takeMany(bench, volume.slug);
    const target = path.join(bench.scratchPath, "flat.raw");
    const copy = await repeat(bench.counts.copyRounds, 0, () =>
      timed(() => volumes.export(volume.slug, { path: target, overwrite: true })),
    );
    rmSync(target, { force: true });
    const convert = await repeat(bench.counts.copyRounds, 0, () => convertFilled(bench));
    const row = (id: string, what: string, samples: number[]): Outcome =>
      outcome({
        ...{ id: `snapshot-${id}`, what: `snapshot of a volume, ${what}`, unit: "ms", samples },
        beside: { what: "qemu-img convert of a raw disk with 1 GB", samples: convert },
        reach: `≤ ${SNAPSHOT_REACH_MS} ms`,
        isReached: (median) => median <= SNAPSHOT_REACH_MS,
      });
    return [
      row("attached", "1 GB in it, attached", much),
      row("little", "0.1 GB in it, attached", little),
      row("detached", "1 GB in it, detached", alone),
      outcome({
        ...{ id: "volume-export", what: "export of that volume", unit: "ms", samples: copy },
        beside: { what: "qemu-img convert of a raw disk with 1 GB", samples: convert },
      }),
    ];
  },
};

export const rootRow: Row = {
  id: "snapshot-root",
  title: "create from a snapshot to the first exec'd `true` done",
  async measure(bench: Bench): Promise<Outcome[]> {
    const { runtime, counts } = bench;
    const slug = newName("root");
    await using source = await openForRow(bench);
    await execQuietly(source, ["sh", "-c", "head -c 20000000 /dev/urandom > /opt/tool"], "root");
    await runtime.snapshots.create(slug, source.id);
    const start = async (root: string | undefined): Promise<number> => {
      const begin = performance.now();
      const sandbox = await runtime.create({ lifetime: { kind: "session" }, ...(root === undefined ? {} : { root }) });
      await execQuietly(sandbox, ["true"]);
      const took = performance.now() - begin;
      await sandbox[Symbol.asyncDispose]();
      await runtime.remove(sandbox.id);
      return took;
    };
    const [own, base] = await inTurns(
      counts.rounds,
      2,
      () => start(slug),
      () => start(undefined),
    );
    await runtime.snapshots.remove(slug);
    return [
      outcome({
        ...{ id: "snapshot-root", what: "create --root SNAPSHOT to first `true` done", unit: "ms", samples: own },
        beside: { what: "the same from the base image", samples: base },
        reach: `≤ ${ROOT_REACH_TIMES} × the base image`,
        isReached: (_median, ratio) => ratio >= 1 / ROOT_REACH_TIMES,
      }),
    ];
  },
};

export const volumeWriteRow: Row = {
  id: "volume-write",
  title: "writes to a volume, fsync included",
  async measure(bench: Bench): Promise<Outcome[]> {
    await using volume = await openVolume(bench, 2 * GB);
    await using sandbox = await openForRow(bench);
    await bench.runtime.volumes.attach(volume.slug, sandbox.id, { path: MOUNT, access: "read-write" });
    await using plain = await openPlainDisk(bench);
    const outcomes: Outcome[] = [];
    for (const write of WRITES) {
      const times = await allInTurns(bench.counts.copyRounds, 1, {
        own: () => writeInSandbox(sandbox, write, MOUNT),
        plain: () => writeInPlainMachine(plain, write, MOUNT),
      });
      outcomes.push(writeOutcome(write, times.own, times.plain));
    }
    return outcomes;
  },
};

function writeOutcome(write: Write, own: number[], plain: number[]): Outcome {
  const common = {
    id: `volume-write-${write}`,
    reach: `≤ ${WRITE_REACH_TIMES} × its time`,
    isReached: (_median: number, ratio: number): boolean => ratio >= 1 / WRITE_REACH_TIMES,
  };
  const beside = "a plain virtio disk of QEMU's, raw, same file system";
  if (write === "safe") {
    const each = (samples: number[]): number[] => samples.map((ms) => ms / SAFE_BLOCKS);
    const what = "a block of 4 KiB on a volume, made safe";
    return outcome({ ...common, what, unit: "ms", samples: each(own), beside: { what: beside, samples: each(plain) } });
  }
  const bytes = write === "stream" ? STREAM_BYTES : RANDOM_BYTES;
  const rate = (samples: number[]): number[] => samples.map((ms) => megabytesPerSecond(bytes, ms));
  const what = write === "stream" ? "sequential write to a volume" : "4 KiB blocks in random order to a volume";
  return outcome({ ...common, what, unit: "MB/s", samples: rate(own), beside: { what: beside, samples: rate(plain) } });
}

/** A sandbox that has let go of its volumes when it is disposed. */
async function openForRow(bench: Bench): Promise<SandboxOfRow> {
  const sandbox = await openSandbox(bench);
  return {
    id: sandbox.id,
    exec: (spec, options) => sandbox.exec(spec, options),
    async [Symbol.asyncDispose]() {
      await sandbox[Symbol.asyncDispose]();
      await bench.runtime.remove(sandbox.id);
    },
  };
}

async function openVolume(bench: Bench, capacityBytes: number): Promise<{ slug: string } & AsyncDisposable> {
  const slug = newName("volume");
  await bench.runtime.volumes.create({ slug, capacityBytes });
  return {
    slug,
    async [Symbol.asyncDispose]() {
      await bench.runtime.volumes.remove(slug);
    },
  };
}

/** Zeros are content as any other to a disk that nobody tells of holes. */
async function fill(sandbox: SandboxOfRow, name: string, megabytes: number): Promise<void> {
  const options = [`if=/dev/zero`, `of=${MOUNT}/${name}`, "bs=1M", `count=${megabytes}`, "conv=fsync"];
  await execQuietly(sandbox, ["dd", ...options], "root");
}

async function takeMany(bench: Bench, volume: string): Promise<number[]> {
  const taken: string[] = [];
  const samples = await repeat(Math.min(bench.counts.rounds, 10), 1, async () => {
    const slug = newName("taken");
    taken.push(slug);
    return timed(() => bench.runtime.volumes.snapshot(volume, slug));
  });
  for (const slug of taken.reverse()) await bench.runtime.snapshots.remove(slug).catch(() => undefined); // later ones stand on it
  return samples;
}

async function convertFilled(bench: Bench): Promise<number> {
  const source = path.join(bench.scratchPath, "filled.raw");
  const target = path.join(bench.scratchPath, "filled.qcow2");
  execFileSync("dd", ["if=/dev/urandom", `of=${source}`, "bs=1M", "count=1000", "status=none"]);
  const took = await timeProgram(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, target]);
  rmSync(source);
  rmSync(target);
  return took;
}

async function formatByHand(bench: Bench): Promise<number> {
  const file = path.join(bench.scratchPath, "by-hand.raw");
  const took = await timed(async () => {
    writeFileSync(file, "");
    truncateSync(file, 10 * GB);
    await timeProgram(["mke2fs", "-q", "-F", "-t", "ext4", file]);
  });
  rmSync(file);
  return took;
}

async function openPlainDisk(bench: Bench): ReturnType<Awaited<ReturnType<typeof preparePlainMachine>>["boot"]> {
  const file = path.join(bench.scratchPath, "plain-disk.raw");
  writeFileSync(file, "");
  truncateSync(file, 2 * GB);
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0", file]);
  const drive = `file=${file},if=none,id=plain,format=raw,cache=writeback`;
  const prepared = await preparePlainMachine(bench, {
    devices: ["-drive", drive, "-device", "virtio-blk-device,drive=plain"],
  });
  const machine = await prepared.boot();
  try {
    await machine.run("python3", "-c", MOUNT_SCRIPT, "/dev/vdb", MOUNT);
    return machine;
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
}

/** The image has no mount(8). */
const MOUNT_SCRIPT = `
import ctypes, os, sys
device, target = sys.argv[1:]
os.makedirs(target)
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(device.encode(), target.encode(), b"ext4", 1024, b"noinit_itable"): sys.exit(os.strerror(ctypes.get_errno()))
`;
