/** A volume or snapshot of a client's file. The file is not trusted; what it may become is bounded before it is read. */
import type { ControlResult } from "../../protocol/control-calls.ts";
import type { CallOptions } from "../../runtime/types.ts";
import { SbxError } from "../../runtime/errors.ts";
import { ApiError } from "../api-error.ts";
import type { Tenant } from "../organisations/tenant.ts";
import { snapshotAnswer, volumeAnswer } from "./disk-handlers.ts";

export type ImportKind = "volume" | "snapshot";

export interface DiskImport {
  kind: ImportKind;
  slug: string | null;
  source: AsyncIterable<Uint8Array>;
}

/** @throws ApiError `QUOTA_EXCEEDED`, and what the runtime throws; nothing is left then */
export async function importDisk(
  tenant: Tenant,
  { kind, slug, source }: DiskImport,
  options: CallOptions,
): Promise<ControlResult<"volume.get"> | ControlResult<"snapshot.get">> {
  const { runtime, organisation, quotas } = tenant;
  const spec = {
    ...(slug === null ? {} : { slug }),
    maxBytes: Math.min(quotas.maxVolume, quotas.volumes - (await takenBytes(tenant))),
  };
  const made =
    kind === "volume"
      ? volumeAnswer(await broken(runtime.volumes.import(source, spec, options)), organisation)
      : snapshotAnswer(await broken(runtime.snapshots.import(source, spec, options)), organisation);
  // Another one may have been made meanwhile.
  if ((await takenBytes(tenant)) <= quotas.volumes) return made;
  await (kind === "volume" ? runtime.volumes.remove(made.id) : runtime.snapshots.remove(made.id));
  throw new ApiError("QUOTA_EXCEEDED", `all volumes together may have ${quotas.volumes} bytes`);
}

/** Of volumes, and of snapshots that stand on nothing else of the organisation's. */
async function takenBytes({ runtime }: Tenant): Promise<number> {
  const volumes = await runtime.volumes.list();
  const files = (await runtime.snapshots.list()).filter(({ source }) => source.kind === "file");
  return [...volumes.map((one) => one.capacityBytes), ...files.map((one) => one.sizeBytes)].reduce((a, b) => a + b, 0);
}

/** What breaks off is the client's affair, and no failure of the server's. */
async function broken<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SbxError || error instanceof ApiError) throw error;
    throw new ApiError("INVALID_REQUEST", "the file broke off, or is not sent as it should be", { cause: error });
  }
}
