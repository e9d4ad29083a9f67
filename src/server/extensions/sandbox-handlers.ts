/** Sandboxes of an organisation, for clients of sbx's own: named as on the command line, since its runtime has no others. */
import type { SANDBOX_CALLS } from "../../protocol/control-calls-sandboxes.ts";
import type { ControlParams, ControlResult } from "../../protocol/control-calls.ts";
import type { CheckpointInfo, ForkReport } from "../../runtime/checkpoints.ts";
import { OWN_ORGANISATION } from "../../runtime/organisations.ts";
import type { PruneReport, SandboxInfo } from "../../runtime/types.ts";
import { LOG_SOURCES, type LogLine, type LogSource } from "../../runtime/watching.ts";
import type { Tenant } from "../organisations/tenant.ts";
import { EXPOSURE_HANDLERS } from "./exposure-handlers.ts";
import { refuse, toClient, type ControlContext, type ControlHandlers, type Defined } from "./handler.ts";

/** What the guest says. */
const GUEST_SOURCES: readonly LogSource[] = ["console", "process"];

export const SANDBOX_HANDLERS: ControlHandlers<keyof typeof SANDBOX_CALLS> = {
  "sandbox.list": async ({ labels }, { runtime, signal }) =>
    (await runtime.list({ signal, ...(labels && { labels }) })).map(toClient),
  "sandbox.get": async ({ ref }, { runtime, signal }) => toClient(await runtime.get(ref, { signal })),
  // Not ended half: a client that hangs up meanwhile has asked all the same.
  "sandbox.remove": async ({ ref }, { runtime }) => toClient(await runtime.remove(ref)),
  "sandbox.extend": async ({ ref, ms }, { tenant, runtime }) => ({
    expiresAt: await runtime.extend(ref, Math.min(ms, tenant.quotas.lifetime)),
  }),
  "sandbox.pause": async ({ ref }, { runtime }) => toClient(await runtime.pause(ref)),
  "sandbox.resume": async ({ ref }, { runtime }) => toClient(await runtime.resume(ref)),
  "sandbox.fork": fork,
  "sandbox.logs": logs,
  "event.list": (options, { runtime, signal }) => runtime.events({ ...options, signal }),
  "usage.list": async (options, { runtime, signal }) => runtime.usage({ ...options, signal }),
  "prune.run": prune,
  "checkpoint.create": async ({ ref, name }, { tenant, runtime, signal, onProgress }) =>
    tenant.admitCheckpoint(async () => {
      const made = await runtime.checkpoints.create(ref, name, { signal, onProgress });
      return { ...told(tenant, made), pausedMs: made.pausedMs };
    }),
  "checkpoint.list": async (_none, { tenant, runtime, signal }) =>
    (await runtime.checkpoints.list({ signal })).map((one) => told(tenant, one)),
  "checkpoint.get": async ({ ref }, { tenant, runtime, signal }) =>
    told(tenant, await runtime.checkpoints.get(ref, { signal })),
  "checkpoint.remove": async ({ ref }, { tenant, runtime }) => told(tenant, await runtime.checkpoints.remove(ref)),
  ...EXPOSURE_HANDLERS,
};

async function fork(
  { ref, secretValues, ...spec }: Defined<ControlParams<"sandbox.fork">>,
  context: ControlContext,
): Promise<ControlResult<"sandbox.fork">> {
  const { tenant, runtime, signal, onProgress, environment } = context;
  const options = { signal, onProgress, environment, ...(secretValues === undefined ? {} : { secretValues }) };
  const source = await runtime.get(ref, { signal });
  const demands = Array.from({ length: spec.count }, () => source);
  const lifetimeMs = Math.min(spec.lifetimeMs, tenant.quotas.lifetime);
  const make = async (): Promise<ForkReport> =>
    tenant.admit(demands, async (budget) => runtime.fork(source.id, { ...spec, lifetimeMs, budget }, options));
  const bytes = spec.volumes === "copy" ? await volumeBytesOf(source, context) : 0;
  const report = bytes === 0 ? await make() : await tenant.admitVolume(bytes * spec.count, make);
  return { sandboxes: report.sandboxes.map(toClient), pausedMs: report.pausedMs };
}

/** What is wrong with its files names them: that is for the operator. */
function told({ organisation }: Tenant, info: CheckpointInfo): ControlResult<"checkpoint.get"> {
  const { faults, secrets, ...rest } = info;
  return {
    ...rest,
    faults:
      organisation === OWN_ORGANISATION ? faults : faults.map(() => "it is damaged; the server's operator can see how"),
    ...(secrets && {
      secrets: secrets.map(({ name, hosts }) => ({ name, hosts: hosts.map((host) => ({ ...host })) })),
    }),
  };
}

/** What a copy with volumes of its own adds to the organisation's. */
async function volumeBytesOf({ disks = [] }: SandboxInfo, { runtime, signal }: ControlContext): Promise<number> {
  const volumes = disks.filter(({ kind }) => kind === "volume");
  const infos = await Promise.all(volumes.map(async ({ id }) => runtime.volumes.get(id, { signal })));
  return infos.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
}

/** What the supervisor and the machine monitor say tells of the server's own machine. */
function logs(
  { ref, sources, ...options }: Defined<ControlParams<"sandbox.logs">>,
  { tenant, runtime, signal }: ControlContext,
): AsyncIterable<LogLine> {
  const all: readonly LogSource[] = tenant.organisation === OWN_ORGANISATION ? LOG_SOURCES : GUEST_SOURCES;
  const foreign = sources?.find((source) => !all.includes(source));
  if (foreign !== undefined) refuse(`the log of the ${foreign} is the server's own`, "sbx logs SANDBOX");
  return runtime.logs(ref, { ...options, sources: sources ?? all, signal });
}

async function prune(
  options: Defined<ControlParams<"prune.run">>,
  { tenant, runtime, signal }: ControlContext,
): Promise<PruneReport> {
  const report = await runtime.prune({ ...options, signal });
  if (tenant.organisation === OWN_ORGANISATION) return report;
  // Why something stayed names files of this machine.
  return { ...report, failed: report.failed.map((one) => ({ ...one, error: "the server could not remove it" })) };
}
