/** Volumes: disks that outlive sandboxes. */
import { z } from "zod";
import type { Runtime } from "../../runtime/runtime.ts";
import { ApiError } from "../api-error.ts";
import { findSnapshot, findVolume } from "../organisations/find-exactly.ts";
import { readSize } from "../units.ts";
import { snapshotObject, toSnapshotObject, toVolumeObject, volumeObject } from "./objects.ts";
import { answerPage, pageQuery } from "./pagination.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

/** The image that the published service builds volumes from: this server's own default image stands for it. */
const BUILTIN = /^builtin:[a-z0-9.-]{1,64}$/;

/** The rest of its form is for the runtime to judge. */
const slug = z.string().min(2).max(32);
const createBody = z.object({
  slug,
  /** The server has one region, and says which. */
  region: z.string().max(64).optional(),
  capacity: z.union([z.number(), z.string().max(64)]).optional(),
  from: z.string().min(1).max(256).optional(),
});
const snapshotBody = z.object({ slug });

type CreateBody = z.output<typeof createBody>;

async function create({ tenant, body, signal }: Call<unknown, CreateBody>): Promise<Answer> {
  const { runtime, quotas } = tenant;
  const base = body.from === undefined ? undefined : await findBase(runtime, body.from);
  const capacity = body.capacity === undefined ? base?.sizeBytes : readSize(body.capacity);
  if (capacity === undefined) {
    throw new ApiError("INVALID_REQUEST", "capacity must be a number of bytes, or a size such as 10GB or 512MiB");
  }
  if (capacity < quotas.minVolume || capacity > quotas.maxVolume) {
    throw new ApiError("INVALID_REQUEST", `capacity must be from ${quotas.minVolume} to ${quotas.maxVolume} bytes`);
  }
  const spec = { slug: body.slug, capacityBytes: capacity, ...(base === undefined ? {} : { from: base.id }) };
  const volume = await tenant.admitVolume(capacity, async () => runtime.volumes.create(spec, { signal }));
  return { status: 201, body: toVolumeObject(volume) };
}

/** What a volume is to be made of: an image, by the published name, or a snapshot. */
async function findBase(runtime: Runtime, from: string): Promise<{ id: string; sizeBytes: number | undefined }> {
  if (!BUILTIN.test(from)) {
    const { id, sizeBytes } = await findSnapshot(runtime, from);
    return { id, sizeBytes };
  }
  const image = (await runtime.images.list()).find(({ isDefault }) => isDefault);
  if (image !== undefined) return { id: image.id, sizeBytes: undefined };
  throw new ApiError("INSUFFICIENT_RESOURCES", "the server has no image yet: it is made for the first sandbox");
}

const get = async ({ tenant, params }: Call<unknown, unknown>): Promise<Answer> => ({
  status: 200,
  body: toVolumeObject(await findVolume(tenant.runtime, params.volume ?? "")),
});

async function list({ tenant, query, url, signal }: Call<z.output<typeof pageQuery>, unknown>): Promise<Answer> {
  const { search } = query;
  const volumes = await tenant.runtime.volumes.list({ signal, ...(search === undefined ? {} : { search }) });
  return answerPage(volumes, query, url, toVolumeObject);
}

async function remove({ tenant, params }: Call<unknown, unknown>): Promise<Answer> {
  const { id } = await findVolume(tenant.runtime, params.volume ?? "");
  await tenant.endings.whenFree(async () => tenant.runtime.volumes.remove(id));
  return { status: 204 };
}

async function snapshot(call: Call<unknown, z.output<typeof snapshotBody>>): Promise<Answer> {
  const { tenant, params, body } = call;
  const snapshot = await tenant.endings.whenFree(async () => {
    const { id, holders } = await findVolume(tenant.runtime, params.volume ?? "");
    // The runtime could, of a running sandbox; the published service cannot, and says so.
    if (holders.some(({ access }) => access === "read-write")) {
      throw new ApiError("VOLUME_IN_USE", "the volume is in use: a snapshot is taken of one that no sandbox has");
    }
    return tenant.runtime.volumes.snapshot(id, body.slug);
  });
  return { status: 201, body: toSnapshotObject(snapshot) };
}

export const VOLUME_ROUTES: readonly Route[] = [
  route({
    ...{ method: "GET", path: "/api/v2/volumes", summary: "Volumes, the newest first", scope: "read" },
    query: pageQuery,
    success: { status: 200, schema: z.array(volumeObject) },
    errors: [],
    handle: list,
  }),
  route({
    ...{ method: "POST", path: "/api/v2/volumes", summary: "Make a volume", scope: "volumes" },
    body: createBody,
    success: { status: 201, schema: volumeObject },
    errors: ["SLUG_ALREADY_IN_USE", "SNAPSHOT_NOT_FOUND", "QUOTA_EXCEEDED", "INSUFFICIENT_RESOURCES"],
    handle: create,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/volumes/:volume", summary: "One volume, by id or slug", scope: "read" },
    success: { status: 200, schema: volumeObject },
    errors: ["VOLUME_NOT_FOUND"],
    handle: get,
  }),
  route({
    ...{ method: "DELETE", path: "/api/v2/volumes/:volume", summary: "Remove a volume", scope: "volumes" },
    success: { status: 204, schema: null },
    errors: ["VOLUME_NOT_FOUND", "VOLUME_IN_USE"],
    handle: remove,
  }),
  route({
    ...{ method: "POST", path: "/api/v2/volumes/:volume/snapshot", summary: "Take a snapshot", scope: "volumes" },
    body: snapshotBody,
    success: { status: 201, schema: snapshotObject },
    errors: ["VOLUME_NOT_FOUND", "VOLUME_IN_USE", "SLUG_ALREADY_IN_USE"],
    handle: snapshot,
  }),
];
