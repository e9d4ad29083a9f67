/** Disks as QEMU's block layer takes them (`blockdev-add`, QEMU documentation, "QMP Reference Manual"). */
import { SbxError } from "../runtime/errors.ts";
import type { DiskLayer } from "./machine-spec.ts";
import type { DiskWrites } from "./qemu-args.ts";

/** Name of the node that a machine starts with as its root disk. */
export const ROOT_NODE = "root";

type NodeOptions = Record<string, unknown>;

/**
 * A whole chain as one node, so that it comes and goes at once.
 *
 * @param layers the one on top last; each but the first stands on the one before it
 * @throws SbxError `internal` for a raw layer that stands on another: it would hide it
 */
export function chainNode(name: string, layers: readonly DiskLayer[], access: "read-write" | "read-only"): NodeOptions {
  let node: NodeOptions | null = null;
  for (const [index, layer] of layers.entries()) {
    if (layer.format === "raw" && node !== null)
      throw new SbxError("internal", `a raw layer stands on nothing: ${layer.path}`);
    const top = index === layers.length - 1;
    const writable = top && access === "read-write";
    node = {
      driver: layer.format,
      ...(top ? { "node-name": name } : {}),
      ...reading(layer, node),
      "read-only": !writable,
      ...(writable ? { discard: "unmap" } : {}),
      // A layer that never changes needs no lock; the one on top has one writer at a time, whoever starts it.
      file: { ...file(layer.path, writable), ...(top ? {} : { locking: "off" }) },
    };
  }
  if (node === null) throw new SbxError("internal", "a disk has at least one layer");
  return node;
}

/** An empty layer that is to be put on top of a node. */
export function overlayNode(name: string, path: string, writes: DiskWrites): NodeOptions {
  const cache = writes === "discarded" ? { cache: { "no-flush": true } } : {};
  return {
    driver: "qcow2",
    "node-name": name,
    backing: null,
    "read-only": false,
    discard: "unmap",
    file: { ...file(path, true), ...cache },
    ...cache,
  };
}

/** Never what the file itself says it stands on. */
function reading({ format }: DiskLayer, below: NodeOptions | null): NodeOptions {
  return format === "raw" ? {} : { backing: below };
}

/** One that is written to says nothing of that: it becomes read-only with the node above it, when that is frozen. */
function file(path: string, writable: boolean): NodeOptions {
  return { driver: "file", filename: path, ...(writable ? { discard: "unmap" } : { "read-only": true }) };
}
