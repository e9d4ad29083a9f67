/** Names of volumes and snapshots are completed wherever one is meant, and only those that fit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { complete, type CompletableCommand, type LiveKind } from "../../../../src/cli/completion/candidates.ts";
import { liveNames } from "../../../../src/cli/completion/live-names.ts";
import { snapshotInfo, volumeInfo } from "../../../fake-disks.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";

const OPTION = { type: "option" } as const;
const IDS = [
  ...["attach", "detach", "export", "import", "inspect", "remove", "resize", "restore", "snapshot"].map(
    (verb) => `volume:${verb}`,
  ),
  ...["export", "import", "inspect", "remove", "tree"].map((verb) => `snapshot:${verb}`),
];
const COMMANDS: CompletableCommand[] = [
  ...IDS.map((id) => ({ id, aliases: [], flags: {} })),
  { id: "create", aliases: [], flags: { volume: OPTION, root: OPTION } },
  { id: "volume:create", aliases: [], flags: { from: OPTION } },
  { id: "snapshot:create", aliases: [], flags: { from: OPTION } },
];

function liveOf(...words: string[]): LiveKind | undefined {
  return complete(words, COMMANDS).live;
}

test("operands are the volumes, snapshots, sandboxes and files that the command takes", () => {
  for (const verb of ["inspect", "remove", "resize", "snapshot", "export", "attach", "detach"]) {
    assert.equal(liveOf("volume", verb, ""), "volumes", verb);
  }
  assert.equal(liveOf("volume", "remove", "a", ""), "volumes");
  assert.equal(liveOf("volume", "inspect", "a", ""), undefined);
  assert.equal(liveOf("volume", "restore", ""), "removed-volumes");
  assert.equal(liveOf("volume", "attach", "a", ""), "running-sandboxes");
  for (const verb of ["inspect", "remove", "export"]) assert.equal(liveOf("snapshot", verb, ""), "snapshots", verb);
  assert.equal(complete(["volume", "export", "a", ""], COMMANDS).files, true);
  assert.equal(complete(["snapshot", "import", ""], COMMANDS).files, true);
});

test("options mean what can be there", () => {
  assert.equal(liveOf("create", "--root", ""), "roots");
  assert.equal(liveOf("create", "--root=t"), "roots");
  assert.equal(liveOf("volume", "create", "x1", "--from", ""), "bases");
  assert.equal(liveOf("snapshot", "create", "x1", "--from", ""), "disk-sources");
  const volume = complete(["create", "--volume", "da"], COMMANDS);
  assert.deepEqual([volume.live, volume.around, volume.noSpace], ["volumes", { before: "", after: ":" }, true]);
  assert.equal(liveOf("create", "--volume", "data:/"), undefined);
});

test("names are of what fits, with a word about each", async () => {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ name: "box" })];
  runtime.volumes.volumes = [
    volumeInfo(),
    volumeInfo({ slug: "dev", isBootable: true }),
    volumeInfo({ slug: "gone", removedAt: 1, restorableUntil: 2 }),
  ];
  runtime.snapshots.snapshots = [snapshotInfo(), snapshotInfo({ slug: "monday", isBootable: false })];
  const names = async (kind: LiveKind, partial = ""): Promise<string[]> =>
    (await liveNames(kind, partial, runtime)).map(({ value }) => value);
  assert.deepEqual(await names("volumes"), ["data", "dev"]);
  assert.deepEqual(await names("volumes", "de"), ["dev"]);
  assert.deepEqual(await names("removed-volumes"), ["gone"]);
  assert.deepEqual(await names("snapshots"), ["tools", "monday"]);
  assert.deepEqual(await names("roots"), ["tools", "dev"]);
  assert.deepEqual(await names("bases"), ["tools", "monday", "default"]);
  assert.deepEqual(await names("disk-sources"), ["box", "data", "dev"]);
  assert.deepEqual((await liveNames("volumes", "da", runtime))[0]?.description, "volume, 10GB");
});
