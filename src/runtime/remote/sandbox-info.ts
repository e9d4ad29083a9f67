/** Sandboxes as a control plane tells of them. */
import * as z from "zod/mini";
import { DEFAULT_SETTINGS } from "../defaults.ts";
import type { SandboxInfo } from "../types.ts";

/** Form of the ids (deno-sandbox-protocol, 1.3). */
export const SANDBOX_ID = /^sbx_[a-z]{3}_[0-9a-hjkmnp-z]{20}$/;

/** Longest list that is read, of one page or several. */
const MAX_SANDBOXES = 100_000;

const time = () => z.iso.datetime({ offset: true });

/** Of the published list. */
export const publishedSandboxes = () =>
  z
    .array(
      z.object({
        id: z.string().check(z.regex(SANDBOX_ID)),
        createdAt: time(),
        stoppedAt: z.nullable(time()),
        region: z.string().check(z.maxLength(64)),
        status: z.enum(["running", "stopped"]),
        labels: z._default(z.record(z.string(), z.string()), {}),
      }),
    )
    .check(z.maxLength(MAX_SANDBOXES));

export type PublishedSandbox = z.output<ReturnType<typeof publishedSandboxes>>[number];

/** What the published API does not tell is nothing, or what it gives every sandbox. */
export function fromPublished({ id, createdAt, stoppedAt, region, status, labels }: PublishedSandbox): SandboxInfo {
  return {
    ...unknownInfo(id),
    ...{ status, region, labels, createdAt: Date.parse(createdAt) },
    stoppedAt: stoppedAt === null ? null : Date.parse(stoppedAt),
  };
}

/** A sandbox of which only the id is known. */
export function unknownInfo(id: string): SandboxInfo {
  return {
    ...{ id, name: null, status: "running", createdAt: 0, startedAt: null, stoppedAt: null, expiresAt: null },
    ...{ reason: null, detail: null, image: { id: "", name: null }, memoryBytes: 0 },
    ...{ cpus: DEFAULT_SETTINGS.cpus, diskBytes: DEFAULT_SETTINGS.diskBytes, labels: {} },
    ...{ region: id.split("_")[1] ?? "", supervisorPid: null, vmPid: null, accelerator: null },
  };
}

/** Process ids of another machine are of no use here. */
export function withoutProcesses(info: SandboxInfo): SandboxInfo {
  return { ...info, supervisorPid: null, vmPid: null };
}
