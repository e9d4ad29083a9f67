/** Does one thing with disks, as a command does: `HOME EXPORTED OPERATION`. Prints a line of JSON. */
import { createReadStream } from "node:fs";
import { inconsistencies, openDisks } from "./disk-home.ts";

const MiB = 1024 ** 2;
const [home = "", exported = "", operation = ""] = process.argv.slice(2);

const OPERATIONS = {
  create: (disks) => disks.volumes.create({ slug: "data", capacityBytes: 16 * MiB }),
  import: (disks) => disks.volumes.import(createReadStream(exported), { slug: "big" }),
  "create another": (disks) => disks.volumes.create({ slug: "more", capacityBytes: 2 ** 40 }),
  snapshot: (disks) => disks.volumes.snapshot("data", "monday"),
  grow: (disks) => disks.volumes.resize("data", 2 ** 40),
  remove: (disks) => disks.volumes.remove("data"),
  restore: (disks) => disks.volumes.restore("data"),
  check: async (disks) => {
    const wrong = await inconsistencies(disks);
    if (wrong.length > 0) throw Object.assign(new Error(wrong.join(", ")), { code: "inconsistent" });
  },
};

try {
  const disks = await openDisks(home);
  await OPERATIONS[operation](disks);
  process.stdout.write(`${JSON.stringify({ operation, code: "done" })}\n`);
} catch ({ code, message }) {
  process.stdout.write(`${JSON.stringify({ operation, code, message })}\n`);
}
process.exit(0);
