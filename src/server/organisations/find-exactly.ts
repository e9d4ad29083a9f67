/**
 * What a client names by id or, where it has one, by slug. The runtime also understands beginnings of names, which is for
 * people at a command line: over the API a name is the whole name.
 */
import type { SnapshotInfo, VolumeInfo } from "../../runtime/disks.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { ApiError } from "../api-error.ts";

/** @throws ApiError `SANDBOX_NOT_FOUND`, the same for another organisation's as for one that never was */
export async function findSandbox(runtime: Runtime, id: string): Promise<SandboxInfo> {
  const found = await orUndefined(runtime.get(id), "sandbox_not_found", "sandbox_ambiguous");
  if (found?.id === id) return found;
  throw new ApiError("SANDBOX_NOT_FOUND", `there is no sandbox ${quote(id)}`);
}

/** One that runs, or stands still. @throws ApiError `SANDBOX_NOT_FOUND` */
export async function findRunning(runtime: Runtime, id: string): Promise<SandboxInfo> {
  const info = await findSandbox(runtime, id);
  if (info.status === "running" || info.status === "paused") return info;
  throw notRunning(info.id);
}

/** For a sandbox that is there and over: to the published API the same as one that is not there. */
export function notRunning(id: string): ApiError {
  return new ApiError("SANDBOX_NOT_FOUND", `the sandbox ${id} is not running any more`, {
    detail: { code: "sandbox_stopped", hint: "sbx create" },
  });
}

/** @throws ApiError `VOLUME_NOT_FOUND` */
export async function findVolume(runtime: Runtime, ref: string): Promise<VolumeInfo> {
  const found = await orUndefined(runtime.volumes.get(ref), "volume_not_found", "usage");
  if (found !== undefined && (found.id === ref || found.slug === ref)) return found;
  throw new ApiError("VOLUME_NOT_FOUND", `there is no volume ${quote(ref)}`);
}

/** @throws ApiError `SNAPSHOT_NOT_FOUND` */
export async function findSnapshot(runtime: Runtime, ref: string): Promise<SnapshotInfo> {
  const found = await orUndefined(runtime.snapshots.get(ref), "snapshot_not_found", "usage");
  if (found !== undefined && (found.id === ref || found.slug === ref)) return found;
  throw new ApiError("SNAPSHOT_NOT_FOUND", `there is no snapshot ${quote(ref)}`);
}

/** A volume or snapshot that a sandbox can start from. @throws ApiError `VOLUME_NOT_FOUND` */
export async function requireRoot(runtime: Runtime, ref: string): Promise<void> {
  try {
    await findVolume(runtime, ref);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    await findSnapshot(runtime, ref).catch((missing: unknown) => {
      throw missing instanceof ApiError
        ? new ApiError("VOLUME_NOT_FOUND", `there is no volume or snapshot ${quote(ref)}`)
        : missing;
    });
  }
}

async function orUndefined<T>(call: Promise<T>, ...codes: string[]): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof SbxError && codes.includes(error.code)) return undefined;
    throw error;
  }
}

function quote(ref: string): string {
  return JSON.stringify(ref.slice(0, 128));
}
