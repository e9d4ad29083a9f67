/** Snapshots: disks that never change. */
import { z } from "zod";
import { findSnapshot } from "../organisations/find-exactly.ts";
import { snapshotObject, toSnapshotObject } from "./objects.ts";
import { answerPage, pageQuery } from "./pagination.ts";
import { route, type Answer, type Call, type Route } from "./route.ts";

async function list({ tenant, query, url, signal }: Call<z.output<typeof pageQuery>, unknown>): Promise<Answer> {
  const { search } = query;
  const snapshots = await tenant.runtime.snapshots.list({ signal, ...(search === undefined ? {} : { search }) });
  return answerPage(snapshots, query, url, toSnapshotObject);
}

const get = async ({ tenant, params }: Call<unknown, unknown>): Promise<Answer> => ({
  status: 200,
  body: toSnapshotObject(await findSnapshot(tenant.runtime, params.snapshot ?? "")),
});

async function remove({ tenant, params }: Call<unknown, unknown>): Promise<Answer> {
  const { id } = await findSnapshot(tenant.runtime, params.snapshot ?? "");
  await tenant.endings.whenFree(async () => tenant.runtime.snapshots.remove(id));
  return { status: 204 };
}

export const SNAPSHOT_ROUTES: readonly Route[] = [
  route({
    ...{ method: "GET", path: "/api/v2/snapshots", summary: "Snapshots, the newest first", scope: "read" },
    query: pageQuery,
    success: { status: 200, schema: z.array(snapshotObject) },
    errors: [],
    handle: list,
  }),
  route({
    ...{ method: "GET", path: "/api/v2/snapshots/:snapshot", summary: "One snapshot, by id or slug", scope: "read" },
    success: { status: 200, schema: snapshotObject },
    errors: ["SNAPSHOT_NOT_FOUND"],
    handle: get,
  }),
  route({
    ...{ method: "DELETE", path: "/api/v2/snapshots/:snapshot", summary: "Remove a snapshot", scope: "volumes" },
    success: { status: 204, schema: null },
    errors: ["SNAPSHOT_NOT_FOUND", "SNAPSHOT_IN_USE"],
    handle: remove,
  }),
];
