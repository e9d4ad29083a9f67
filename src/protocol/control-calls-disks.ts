/** Calls about volumes and snapshots. Sizes are bytes. */
import * as z from "zod/mini";
import { controlCall } from "./control-call.ts";
import { amount, byRef, nothing, ref, text, time } from "./control-schema.ts";

/** Of an export, as it is written. Base64 in a line: half a line at most. */
export const EXPORT_PIECE_BYTES = 256 * 1024;

const slug = () => z.string().check(z.minLength(1), z.maxLength(64));
const search = () => z.optional(z.string().check(z.maxLength(256)));
const capacity = () => z.int().check(z.minimum(1), z.maximum(2 ** 52));
const access = () => z.enum(["read-write", "read-only"]);
const guestPath = () => z.string().check(z.minLength(1), z.maxLength(4096));
const idAndSlug = () => z.object({ id: text(), slug: text() });

const volume = () =>
  z.object({
    ...{ id: text(), slug: text(), region: text(), createdAt: time(), capacityBytes: amount() },
    ...{ estimatedAllocatedBytes: amount(), estimatedFlattenedBytes: amount(), isBootable: z.boolean() },
    baseSnapshot: z.nullable(idAndSlug()),
    imageId: z.nullable(text()),
    holders: z.array(z.object({ id: text(), name: text(), access: access(), path: z.nullable(text()) })),
    removedAt: z.nullable(time()),
    restorableUntil: z.nullable(time()),
    faults: z.array(text()),
  });

const snapshot = () =>
  z.object({
    ...{ id: text(), slug: text(), region: text(), createdAt: time(), sizeBytes: amount(), allocatedBytes: amount() },
    ...{ flattenedBytes: amount(), isBootable: z.boolean(), imageId: z.nullable(text()) },
    source: z.object({ kind: z.enum(["volume", "sandbox", "file"]), id: text(), name: z.nullable(text()) }),
    parent: z.nullable(idAndSlug()),
    isClean: z.boolean(),
    usedBy: z.array(
      z.object({ kind: z.enum(["volume", "sandbox", "snapshot", "checkpoint"]), id: text(), name: text() }),
    ),
    faults: z.array(text()),
  });

/** A snapshot with what was made of it, as one of a flat list: a tree of any depth parses in one step. */
const treeRow = () =>
  z.object({
    ...{ id: text(), slug: text(), createdAt: time(), sizeBytes: amount(), allocatedBytes: amount() },
    /** Id of the row that it is below; `null` at the top. A row comes behind the one that it is below. */
    parent: z.nullable(text()),
    volumes: z.array(idAndSlug()),
    sandboxes: z.array(z.object({ id: text(), name: z.nullable(text()) })),
  });

/** Bytes of the file, in order; then, last, what was written. */
const exportPiece = () =>
  z.union([
    z.object({ data: z.base64() }),
    z.object({ report: z.object({ contentBytes: amount(), fileBytes: amount(), sha256: text() }) }),
  ]);

export const DISK_CALLS = {
  "volume.list": controlCall(
    { scope: "read", summary: "Volumes, the newest first" },
    () => z.object({ search: search(), removed: z.optional(z.boolean()) }),
    () => z.array(volume()),
  ),
  "volume.get": controlCall(
    { scope: "read", answer: "progress", summary: "One volume" },
    () => z.object({ ref: ref(), verify: z.optional(z.boolean()) }),
    volume,
  ),
  "volume.create": controlCall(
    { scope: "volumes", answer: "progress", summary: "Make a volume" },
    () => z.object({ slug: slug(), capacityBytes: z.optional(capacity()), from: z.optional(ref()) }),
    volume,
  ),
  "volume.remove": controlCall({ scope: "volumes", summary: "Remove a volume" }, byRef, volume),
  "volume.restore": controlCall(
    { scope: "volumes", summary: "Bring a removed volume back" },
    () => z.object({ ref: ref(), slug: z.optional(slug()) }),
    volume,
  ),
  "volume.resize": controlCall(
    { scope: "volumes", answer: "progress", summary: "Grow a volume" },
    () => z.object({ ref: ref(), capacityBytes: capacity() }),
    volume,
  ),
  "volume.snapshot": controlCall(
    { scope: "volumes", answer: "progress", summary: "Take a snapshot of a volume" },
    () => z.object({ ref: ref(), slug: slug() }),
    snapshot,
  ),
  "volume.export": controlCall(
    { scope: "volumes", answer: "items", summary: "A volume as a file" },
    byRef,
    exportPiece,
  ),
  "volume.attach": controlCall(
    { scope: "sandboxes", answer: "progress", summary: "Give a running sandbox a volume" },
    () => z.object({ ref: ref(), sandbox: ref(), path: guestPath(), access: access() }),
    volume,
  ),
  "volume.detach": controlCall(
    { scope: "sandboxes", answer: "progress", summary: "Take a volume from a running sandbox" },
    () => z.object({ ref: ref(), sandbox: ref() }),
    volume,
  ),
  "snapshot.create": controlCall(
    {
      scope: "volumes",
      answer: "progress",
      summary: "Take a snapshot of a volume, or of a running sandbox's own disk",
    },
    () => z.object({ slug: slug(), from: ref() }),
    snapshot,
  ),
  "snapshot.list": controlCall(
    { scope: "read", summary: "Snapshots, the newest first" },
    () => z.object({ search: search() }),
    () => z.array(snapshot()),
  ),
  "snapshot.get": controlCall(
    { scope: "read", answer: "progress", summary: "One snapshot" },
    () => z.object({ ref: ref(), verify: z.optional(z.boolean()) }),
    snapshot,
  ),
  "snapshot.remove": controlCall({ scope: "volumes", summary: "Remove a snapshot" }, byRef, snapshot),
  "snapshot.tree": controlCall({ scope: "read", summary: "Snapshots, and what stands on them" }, nothing, () =>
    z.array(treeRow()),
  ),
  "snapshot.export": controlCall(
    { scope: "volumes", answer: "items", summary: "A snapshot as a file" },
    byRef,
    exportPiece,
  ),
};
