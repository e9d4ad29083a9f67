/** Disks that nobody writes to at the moment, looked at from the host. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TestHome } from "./test-home.ts";

/**
 * Copies the root disk of a sandbox that stands still into one file, does what a mount would do first (the journal), and throws with e2fsck's words unless
 * the file system is in order then.
 */
export function checkRootDisk(home: TestHome, id: string): void {
  check(home, rootChain(home, id));
}

/** The same with a volume that is attached to no sandbox, or to one that stands still. */
export function checkVolumeDisk(home: TestHome, slug: string): void {
  const database = new DatabaseSync(home.paths.databasePath, { readOnly: true });
  try {
    const volume = database.prepare("SELECT head FROM volumes WHERE slug = ?").get(slug);
    if (volume === undefined) throw new Error(`there is no volume ${slug}`);
    check(home, layersFrom(home, database, String(volume.head)));
  } finally {
    database.close();
  }
}

function check(home: TestHome, chain: File[]): void {
  const flat = home.scratch("checked.raw");
  const top = JSON.stringify(nodeOf(chain));
  execFileSync("qemu-img", ["convert", "-U", "-O", "raw", `json:${top}`, flat], { stdio: "pipe" });
  try {
    // Status 1: it was put in order, as after a loss of power.
    execFileSync("sh", ["-c", 'e2fsck -f -p "$1" || [ $? = 1 ]', "sh", flat], { stdio: "pipe" });
    execFileSync("e2fsck", ["-f", "-n", flat], { stdio: "pipe" });
  } finally {
    rmSync(flat, { force: true });
  }
}

interface File {
  path: string;
  format: string;
}

function nodeOf(chain: File[]): object {
  const [top, ...below] = chain;
  if (top === undefined) throw new Error("a disk without files");
  const file = { driver: "file", filename: top.path };
  if (top.format === "raw") return { driver: "raw", file };
  return { driver: top.format, file, backing: nodeOf(below) };
}

/** The files of a sandbox's root disk that stands on layers, the one that is written to first. */
function rootChain(home: TestHome, id: string): File[] {
  const database = new DatabaseSync(home.paths.databasePath, { readOnly: true });
  try {
    const disk = database.prepare("SELECT base, head FROM sandbox_disks WHERE sandbox_id = ?").get(id);
    if (disk === undefined) throw new Error(`${id} stands on no layer`);
    const own = { path: path.join(home.paths.sandboxesPath, id, "disk.qcow2"), format: "qcow2" };
    const start = disk.head ?? disk.base;
    return [...(disk.head === null ? [own] : []), ...layersFrom(home, database, start === null ? null : String(start))];
  } finally {
    database.close();
  }
}

function layersFrom(home: TestHome, database: DatabaseSync, top: string | null): File[] {
  const files: File[] = [];
  let next = top;
  while (next !== null) {
    const layer = database.prepare("SELECT id, parent, format, base_image FROM layers WHERE id = ?").get(next);
    if (layer === undefined) throw new Error(`the layer ${next} is not recorded`);
    const { format } = layer as { format: string };
    files.push({ path: path.join(home.paths.layersPath, `${String(layer.id)}.${format}`), format });
    if (layer.base_image !== null) {
      const image = path.join(home.paths.dataPath, "images", String(layer.base_image), "root.ext4");
      files.push({ path: image, format: "raw" });
    }
    next = layer.parent === null ? null : String(layer.parent);
  }
  return files;
}
