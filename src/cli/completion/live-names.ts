/** Names for completion that only the runtime knows. Answers quickly or not at all. */
import { LOCAL_CONTEXT } from "../../runtime/contexts/target.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { SnapshotInfo, VolumeInfo } from "../../runtime/disks.ts";
import type { SandboxInfo } from "../../runtime/types.ts";
import { loadContexts } from "../contexts/change-contexts.ts";
import { displaySize } from "../parsers/size.ts";
import type { Candidate, LiveKind } from "./candidates.ts";

/** Nobody waits longer for a completion, `ms`. */
const PATIENCE_MS = 1500;

/** The names of a kind that begin with `partial`. @throws whatever the runtime does */
export async function liveNames(kind: LiveKind, partial: string, runtime: Runtime): Promise<Candidate[]> {
  const call = { signal: AbortSignal.timeout(PATIENCE_MS) };
  return (await candidatesOf(kind, partial, runtime, call)).filter(({ value }) => value.startsWith(partial));
}

/** The names of the contexts that begin with `partial`. @throws SbxError `config_invalid` */
export async function contextNames(
  partial: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Candidate[]> {
  const { contexts } = await loadContexts(env);
  const known = Object.entries(contexts).map(([value, { endpoint }]) => ({ value, description: endpoint }));
  return [{ value: LOCAL_CONTEXT, description: "this machine" }, ...known].filter(({ value }) =>
    value.startsWith(partial),
  );
}

async function candidatesOf(
  kind: LiveKind,
  partial: string,
  runtime: Runtime,
  call: { signal: AbortSignal },
): Promise<Candidate[]> {
  switch (kind) {
    case "contexts":
      return []; // No runtime's: see contextNames.
    case "apps":
      return (await runtime.apps.list(call)).map(({ slug }) => ({ value: slug, description: "app" }));
    case "images":
      return (await runtime.images.list(call)).flatMap(({ names, distribution }) =>
        names.map((value) => ({ value, description: distribution })),
      );
    case "volumes":
      return (await runtime.volumes.list(call)).map(volumeName);
    case "removed-volumes":
      return (await runtime.volumes.list({ ...call, removed: true })).map(volumeName);
    case "snapshots":
      return (await runtime.snapshots.list(call)).map(snapshotName);
    case "checkpoints":
      return (await runtime.checkpoints.list(call)).map(({ name, source }) => ({
        value: name,
        description: `checkpoint of ${source.name ?? source.id}`,
      }));
    case "roots":
      return [
        ...(await runtime.snapshots.list(call)).filter(({ isBootable }) => isBootable).map(snapshotName),
        ...(await runtime.volumes.list(call)).filter(({ isBootable }) => isBootable).map(volumeName),
      ];
    case "bases":
      return [
        ...(await candidatesOf("snapshots", partial, runtime, call)),
        ...(await candidatesOf("images", partial, runtime, call)),
      ];
    case "disk-sources":
      return [
        ...(await candidatesOf("running-sandboxes", partial, runtime, call)),
        ...(await candidatesOf("volumes", partial, runtime, call)),
      ];
    case "secrets":
      return (await runtime.secrets.names(call)).map(({ name }) => ({ value: name }));
    case "running-sandboxes":
    case "all-sandboxes":
      return (await runtime.list(call))
        .filter((info) => kind === "all-sandboxes" || info.status === "running" || info.status === "paused")
        .flatMap((info) => sandboxNames(info, partial));
  }
}

function volumeName({ slug, capacityBytes }: VolumeInfo): Candidate {
  return { value: slug, description: `volume, ${displaySize(capacityBytes)}` };
}

function snapshotName({ slug, source }: SnapshotInfo): Candidate {
  return { value: slug, description: `snapshot of ${source.kind} ${source.name ?? source.id}` };
}

/** The name, where there is one; ids are long and only of use to who began to type one. */
function sandboxNames({ id, name, status }: SandboxInfo, partial: string): Candidate[] {
  const byId = { value: id, description: name === null ? status : `${name}, ${status}` };
  if (name === null) return [byId];
  const byName = { value: name, description: status };
  return partial.startsWith("sbx_") ? [byName, byId] : [byName];
}
