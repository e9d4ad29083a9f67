/** The commands about volumes and snapshots: what they print, where, and with which exit status. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { SbxCommand } from "../../../../src/cli/base-command.ts";
import Create from "../../../../src/commands/create.ts";
import Inspect from "../../../../src/commands/inspect.ts";
import SnapshotCreate from "../../../../src/commands/snapshot/create.ts";
import SnapshotExport from "../../../../src/commands/snapshot/export.ts";
import SnapshotImport from "../../../../src/commands/snapshot/import.ts";
import SnapshotInspect from "../../../../src/commands/snapshot/inspect.ts";
import SnapshotList from "../../../../src/commands/snapshot/list.ts";
import SnapshotRemove from "../../../../src/commands/snapshot/remove.ts";
import SnapshotTree from "../../../../src/commands/snapshot/tree.ts";
import VolumeAttach from "../../../../src/commands/volume/attach.ts";
import VolumeCreate from "../../../../src/commands/volume/create.ts";
import VolumeDetach from "../../../../src/commands/volume/detach.ts";
import VolumeExport from "../../../../src/commands/volume/export.ts";
import VolumeImport from "../../../../src/commands/volume/import.ts";
import VolumeInspect from "../../../../src/commands/volume/inspect.ts";
import VolumeList from "../../../../src/commands/volume/list.ts";
import VolumeRemove from "../../../../src/commands/volume/remove.ts";
import VolumeResize from "../../../../src/commands/volume/resize.ts";
import VolumeRestore from "../../../../src/commands/volume/restore.ts";
import VolumeSnapshot from "../../../../src/commands/volume/snapshot.ts";
import type { SandboxSpec } from "../../../../src/runtime/types.ts";
import { snapshotInfo, volumeInfo } from "../../../fake-disks.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { temporaryDirectory } from "../../store/temporary-directory.ts";
import { runCommand, type RunResult } from "../run-command.ts";

const VOLUME_ID = volumeInfo().id;
const SNAPSHOT_ID = snapshotInfo().id;

function withData(): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.volumes.volumes = [volumeInfo()];
  runtime.snapshots.snapshots = [snapshotInfo()];
  return runtime;
}

test("volume create prints the id, and hands on what was asked for", async () => {
  const { stdout, status, runtime } = await runCommand(VolumeCreate, "volume:create", ["data", "--capacity", "10GB"]);
  assert.deepEqual([stdout, status], [`${VOLUME_ID}\n`, 0]);
  assert.deepEqual(runtime.volumes.calls, [["create", { slug: "data", capacityBytes: 10_000_000_000 }]]);
  const from = await runCommand(VolumeCreate, "volume:create", ["dev", "--from", "tools", "--json"]);
  assert.deepEqual(from.runtime.volumes.calls, [["create", { slug: "dev", from: "tools" }]]);
  assert.equal((JSON.parse(from.stdout) as { createdAt: string }).createdAt, "2023-11-14T22:13:20.000Z");
});

const USAGE: [string, typeof SbxCommand, string, string[], string][] = [
  ["a volume without a size", VolumeCreate, "volume:create", ["data"], "an empty volume needs a capacity"],
  ["a name that is none", VolumeCreate, "volume:create", ["Data", "-c", "1GB"], "cannot be the name"],
  ["a size without a unit", VolumeCreate, "volume:create", ["data", "-c", "100"], "is not a size"],
  ["a size too small", VolumeCreate, "volume:create", ["data", "-c", "1MB"], "is out of range"],
  ["the root as a place", VolumeAttach, "volume:attach", ["data", "box", "/"], "cannot be the whole machine"],
  ["a place with dots", VolumeAttach, "volume:attach", ["data", "box", "/a/../b"], "cannot be a directory"],
  ["a mount without a path", Create, "create", ["-d", "--volume", "data"], "which volume is to be where"],
  ["a root and an image", Create, "create", ["-d", "--root", "x1", "--image", "y1"], "--image"],
  ["a disk for a terminal", VolumeExport, "volume:export", ["data", "-"], "nothing for a terminal"],
];

for (const [what, Command, id, argv, words] of USAGE) {
  test(`${what} is refused with status 2`, async () => {
    const result = await runCommand(Command as never, id, argv, { tty: { stdout: true }, runtime: withData() });
    assert.equal(result.status, 2);
    assert.ok(result.stderr.includes(words), result.stderr);
  });
}

test("volume list shows a line each, ids with --quiet, and all of it with --json", async () => {
  const runtime = withData();
  runtime.volumes.volumes = [
    volumeInfo({ holders: [{ id: "sbx_1", name: "box", access: "read-write", path: "/data" }] }),
    volumeInfo({ slug: "hurt", faults: ["/x is missing"], baseSnapshot: { id: "snp", slug: "tools" } }),
  ];
  const { stdout } = await runCommand(VolumeList, "volume:list", [], { runtime });
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^NAME +USED +CAPACITY +BASE +IN USE BY +CREATED +ID$/);
  assert.match(lines[1] ?? "", /^data +8\.4 MiB +10GB +- +box \/data +\S+ ago +vol_loc_/);
  assert.match(lines[2] ?? "", /^hurt .* tools +damaged /);
  const quiet = await runCommand(VolumeList, "volume:list", ["da", "-q"], { runtime });
  assert.equal(quiet.stdout, `${VOLUME_ID}\n`);
  const json = await runCommand(VolumeList, "volume:list", ["--json"], { runtime });
  assert.equal((JSON.parse(json.stdout) as unknown[]).length, 2);
});

test("a removed volume is listed with how long it can be restored, and comes back", async () => {
  const runtime = withData();
  runtime.now = 1_700_000_100_000;
  const removed = await runCommand(VolumeRemove, "volume:remove", ["data"], { runtime });
  assert.equal(removed.stdout, `${VOLUME_ID}\n`);
  const list = await runCommand(VolumeList, "volume:list", ["--removed"], { runtime });
  assert.match(list.stdout, /data +8\.4 MiB +10GB +for 1d +vol_loc_/);
  const restored = await runCommand(VolumeRestore, "volume:restore", ["data", "--name", "again"], { runtime });
  assert.equal(restored.stdout, `${VOLUME_ID}\n`);
  assert.equal(runtime.volumes.volumes[0]?.slug, "again");
});

test("of several volumes to remove, those that can be are, and the status says that not all were", async () => {
  const { stdout, stderr, status } = await runCommand(VolumeRemove, "volume:remove", ["nope", "data"], {
    runtime: withData(),
  });
  assert.deepEqual([stdout, status], [`${VOLUME_ID}\n`, 1]);
  assert.match(stderr, /1 of 2 volumes failed\n.*nope: there is no volume "nope"/);
});

test("inspect shows what is wrong, and its status is 1 for what is damaged", async () => {
  const runtime = withData();
  runtime.volumes.volumes = [volumeInfo({ faults: ["/layers/x.raw is missing"] })];
  runtime.snapshots.snapshots = [snapshotInfo({ faults: ["/layers/x.raw is missing"] })];
  for (const result of [
    await runCommand(VolumeInspect, "volume:inspect", ["data", "--verify"], { runtime }),
    await runCommand(SnapshotInspect, "snapshot:inspect", ["tools", "--verify"], { runtime }),
  ]) {
    assert.equal(result.status, 1);
    assert.match(result.stdout, /State +damaged\nFault +\/layers\/x\.raw is missing/);
  }
  assert.deepEqual(
    [runtime.volumes.calls, runtime.snapshots.calls],
    [[["get", "data", true]], [["get", "tools", true]]],
  );
  const whole = await runCommand(VolumeInspect, "volume:inspect", ["data"], { runtime: withData() });
  assert.deepEqual([whole.status, /State +whole/.test(whole.stdout)], [0, true]);
});

test("what a volume is given and taken is said on stderr", async () => {
  const runtime = withData();
  const call = async (Command: typeof SbxCommand, id: string, argv: string[]): Promise<RunResult> =>
    runCommand(Command as never, id, argv, { runtime });
  const attach = await call(VolumeAttach, "volume:attach", ["data", "box", "//data/", "--read-only"]);
  assert.deepEqual([attach.stdout, attach.stderr], ["", "sbx: data is at /data in box\n"]);
  const detach = await call(VolumeDetach, "volume:detach", ["data", "box"]);
  assert.equal(detach.stderr, "sbx: data is free\n");
  const resize = await call(VolumeResize, "volume:resize", ["data", "20GB"]);
  assert.equal(resize.stderr, "sbx: data has 20GB\n");
  assert.deepEqual(runtime.volumes.calls, [
    ["attach", "data", "box", { path: "/data", access: "read-only" }],
    ["detach", "data", "box"],
  ]);
});

test("a snapshot is taken of a volume or a sandbox, and its id printed", async () => {
  const runtime = withData();
  const one = await runCommand(VolumeSnapshot, "volume:snapshot", ["data", "monday"], { runtime });
  const two = await runCommand(SnapshotCreate, "snapshot:create", ["tuesday", "--from", "box"], { runtime });
  assert.deepEqual([one.stdout, two.stdout], [`${SNAPSHOT_ID}\n`, `${SNAPSHOT_ID}\n`]);
  assert.deepEqual(runtime.volumes.calls, [["snapshot", "data", "monday"]]);
  assert.deepEqual(runtime.snapshots.calls, [["create", "tuesday", "box"]]);
});

test("snapshots are listed with what they come from", async () => {
  const { stdout } = await runCommand(SnapshotList, "snapshot:list", [], { runtime: withData() });
  assert.match(stdout, /^NAME +USED +SIZE +FROM +BOOTABLE +CREATED +ID\ntools +286 MiB +10GB +sandbox box +yes /);
});

test("a snapshot that is in use is not removed, and the way out is said", async () => {
  const runtime = withData();
  runtime.snapshots.snapshots = [snapshotInfo({ usedBy: [{ kind: "volume", id: "v", name: "dev" }] })];
  const { status, stderr } = await runCommand(SnapshotRemove, "snapshot:remove", ["tools"], { runtime });
  assert.equal(status, 1);
  assert.equal(stderr, "sbx: snapshot tools is what volume dev was made from\n  try: sbx volume remove dev\n");
});

test("the tree shows what was made from what", async () => {
  const runtime = new FakeRuntime();
  const leaf = { createdAt: 1, sizeBytes: 1, allocatedBytes: 1024, snapshots: [], volumes: [], sandboxes: [] };
  runtime.snapshots.trees = [
    {
      ...{ ...leaf, id: "a", slug: "base", volumes: [{ id: "v", slug: "dev" }] },
      snapshots: [
        { ...leaf, id: "b", slug: "node", snapshots: [{ ...leaf, id: "c", slug: "app" }] },
        { ...leaf, id: "d", slug: "py", sandboxes: [{ id: "sbx_loc_1", name: null }] },
      ],
    },
  ];
  const { stdout } = await runCommand(SnapshotTree, "snapshot:tree", [], { runtime });
  assert.equal(
    stdout,
    [
      "base (1 KiB)",
      "├─ node (1 KiB)",
      "│  └─ app (1 KiB)",
      "├─ py (1 KiB)",
      "│  └─ sandbox sbx_loc_1",
      "└─ volume dev",
      "",
    ].join("\n"),
  );
});

test("exports go to a file of the caller's directory, or to stdout alone", async () => {
  const runtime = withData();
  const file = await runCommand(VolumeExport, "volume:export", ["data", "x.sbxdisk", "--force"], { runtime });
  assert.deepEqual([file.stdout, file.stderr], ["", "sbx: data: 8.4 MiB in a file of 68.4 KiB\n"]);
  assert.deepEqual(runtime.volumes.calls, [["export", "data", { path: "/work/x.sbxdisk", overwrite: true }]]);
  const json = await runCommand(SnapshotExport, "snapshot:export", ["tools", "-", "--json"], { runtime });
  assert.equal(json.stdout, "");
  assert.equal((JSON.parse(json.stderr) as { contentBytes: number }).contentBytes, 8_797_184);
});

test("imports read a file or stdin, and a file that is not there is named", async (t) => {
  const runtime = new FakeRuntime();
  const file = path.join(temporaryDirectory(t), "x.sbxdisk");
  writeFileSync(file, "bytes");
  const volume = await runCommand(VolumeImport, "volume:import", [file, "other"], { runtime });
  assert.equal(volume.stdout, `${VOLUME_ID}\n`);
  const snapshot = await runCommand(SnapshotImport, "snapshot:import", ["-"], { runtime, stdin: "from a pipe" });
  assert.equal(snapshot.stdout, `${SNAPSHOT_ID}\n`);
  assert.deepEqual(runtime.volumes.calls, [["import", "bytes", { slug: "other" }]]);
  assert.deepEqual(runtime.snapshots.calls, [["import", "from a pipe", {}]]);
  const missing = await runCommand(VolumeImport, "volume:import", ["/nowhere/x"], { runtime });
  assert.deepEqual([missing.status, missing.stderr], [1, "sbx: /nowhere/x is not there\n"]);
});

test("a sandbox says what it was started from, and which volumes it has", async () => {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [
    sandboxInfo({
      name: "box",
      disks: [
        { kind: "snapshot", id: "s", name: "tools", path: "/", access: "read-only" },
        { kind: "volume", id: "v", name: "data", path: "/data", access: "read-write" },
        { kind: "volume", id: "w", name: "sets", path: "/sets", access: "read-only" },
      ],
    }),
  ];
  const { stdout } = await runCommand(Inspect, "inspect", ["box"], { runtime });
  assert.match(stdout, /Root +snapshot tools \(what it writes goes with it\)\n/);
  assert.match(stdout, /Volume +data at \/data\nVolume +sets at \/sets \(read-only\)\n/);
});

test("create hands on volumes and the root", async () => {
  const argv = ["-d", "--volume", "data:/data", "--volume", "cache:/var/cache:ro", "--root", "tools"];
  const { runtime, status, stderr } = await runCommand(Create, "create", argv);
  assert.equal(status, 0, stderr);
  const [spec] = (runtime.calls.find(({ method }) => method === "create")?.args ?? []) as SandboxSpec[];
  assert.equal(spec?.root, "tools");
  assert.deepEqual(spec.volumes, [
    { volume: "data", path: "/data", access: "read-write" },
    { volume: "cache", path: "/var/cache", access: "read-only" },
  ]);
});
