/**
 * Does one thing with disks and kills itself after a given step: `HOME OPERATION STEP`. Steps are changes of the tables
 * and of files. Ends with status 0 when there are fewer steps.
 */
import { createReadStream } from "node:fs";
import { DiskStore } from "../../../src/store/disks/disk-store.ts";
import { LayerFiles } from "../../../src/runtime/local/disks/layer-files.ts";
import { openDisks } from "./disk-home.ts";

const [home = "", operation = "", step = "0"] = process.argv.slice(2);
let count = 0;

function die() {
  process.kill(process.pid, "SIGKILL");
  // Nothing more of this program runs.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function at(isSync, call) {
  count += 1;
  const result = call();
  if (count !== Number(step)) return result;
  if (isSync) return die();
  return result.finally(die);
}

const disks = await openDisks(home);

const { change } = DiskStore.prototype;
DiskStore.prototype.change = function (...args) {
  return at(true, () => change.apply(this, args));
};
for (const name of ["makeRaw", "makeOverlay", "copyFrom", "linkFrom", "seal", "remove"]) {
  const original = LayerFiles.prototype[name];
  LayerFiles.prototype[name] = async function (...args) {
    return at(false, () => original.apply(this, args));
  };
}

const OPERATIONS = {
  create: () => disks.volumes.create({ slug: "made", capacityBytes: 16 * 1024 ** 2 }),
  "create from a snapshot": () => disks.volumes.create({ slug: "made", from: "base" }),
  snapshot: () => disks.volumes.snapshot("data", "made"),
  "snapshot of a sandbox": () => disks.snapshots.create("made", "box"),
  grow: () => disks.volumes.resize("data", 32 * 1024 ** 2),
  "import of a volume": () => disks.volumes.import(createReadStream(`${home}/exported`), { slug: "made" }),
  "import of a snapshot": () => disks.snapshots.import(createReadStream(`${home}/exported`), { slug: "made" }),
  remove: () => disks.volumes.remove("data"),
  "remove a snapshot": () => disks.snapshots.remove("base"),
};

await OPERATIONS[operation]();
process.exit(0);
