/**
 * Where the content of a disk lies: qemu-img tells for each part of it in which file of the chain, and where there. It
 * is given the whole chain with every format, and guesses none.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { z } from "zod";
import type { DiskLayerRecord } from "../../../protocol/disk-calls.ts";
import { toolPath } from "../../../vm/image/command.ts";
import { SbxError } from "../../errors.ts";

/** Content of a disk from `start`, in one piece in a file. */
export interface Extent {
  start: number;
  length: number;
  /** Index in the chain, 0 for the lowest. */
  layer: number;
  /** Position in that layer's file. */
  offset: number;
}

/** A disk of 64 TiB in pieces of 64 KiB would have more; so fragmented a one is not exported. */
const MAX_EXTENTS = 16_000_000;

const rowSchema = z.object({
  start: z.int().min(0),
  length: z.int().min(1),
  depth: z.int().min(0),
  zero: z.boolean(),
  data: z.boolean(),
  offset: z.int().min(0).optional(),
});

/** @throws SbxError `internal` with qemu-img's words */
export async function mapChain(layers: readonly DiskLayerRecord[], signal?: AbortSignal): Promise<Extent[]> {
  const args = ["map", "--output=json", `json:${JSON.stringify(nodeOf(layers))}`];
  const child = spawn("qemu-img", args, {
    env: { ...process.env, PATH: toolPath() },
    stdio: ["ignore", "pipe", "pipe"],
    ...(signal === undefined ? {} : { signal }),
  });
  const ended = once(child, "close") as Promise<[number | null]>;
  ended.catch(() => undefined);
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(0, 4096);
  });
  const extents: Extent[] = [];
  for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity })) {
    addLine(extents, line, layers.length);
    if (extents.length > MAX_EXTENTS) {
      child.kill("SIGKILL");
      throw new SbxError("unsupported", "the disk lies in too many pieces to be exported");
    }
  }
  const [status] = await ended;
  if (status !== 0) throw new SbxError("internal", `qemu-img cannot read the disk: ${words.split("\n")[0] ?? ""}`);
  return extents;
}

/** The chain as one block device node, which names every file and format. */
function nodeOf(layers: readonly DiskLayerRecord[]): object {
  let node: object | null = null;
  for (const { path, format } of layers) {
    const file = { driver: "file", filename: path, locking: "off", "read-only": true };
    node = { driver: format, "read-only": true, file, ...(format === "raw" ? {} : { backing: node }) };
  }
  return node ?? {};
}

/** qemu-img writes an array, one object a line. */
function addLine(extents: Extent[], line: string, layers: number): void {
  const text = line
    .trim()
    .replace(/^\[/, "")
    .replace(/[\],]+$/, "");
  if (text === "") return;
  const row = rowSchema.parse(JSON.parse(text));
  if (row.zero || !row.data) return;
  if (row.offset === undefined || row.depth >= layers) {
    throw new SbxError("unsupported", "the disk holds parts that are stored in a way sbx does not write");
  }
  const extent = { start: row.start, length: row.length, layer: layers - 1 - row.depth, offset: row.offset };
  const last = extents.at(-1);
  const continues =
    last?.layer === extent.layer &&
    last.start + last.length === extent.start &&
    last.offset + last.length === extent.offset;
  if (continues) last.length += extent.length;
  else extents.push(extent);
}
