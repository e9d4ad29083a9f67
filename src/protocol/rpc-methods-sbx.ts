/** Schemas of the calls that sbx adds (docs/protocol-supervisor.md). Refused unless the extensions were agreed. */
import * as z from "zod/mini";
import { STOP_REASONS } from "./stop-reasons.ts";
import { count, list, method, name, none, opt, path, pid, port, streamId, terminalSize, text } from "./rpc-schema.ts";

/** What a copy did, from either end of it. */
export const copyReport = () =>
  z.object({
    entries: count(),
    bytes: count(),
    skipped: list(z.object({ path: text(), reason: text() })),
  });
export type CopyStreamReport = z.output<ReturnType<typeof copyReport>>;

const epochMs = () => z.nullable(z.number());

/** A sandbox as its supervisor sees it; the same shape as SandboxInfo of the Runtime. */
export const sandboxInfo = () =>
  z.object({
    id: name(),
    name: z.nullable(text()),
    status: z.enum(["creating", "running", "paused", "stopping", "stopped", "failed"]),
    createdAt: z.number(),
    startedAt: epochMs(),
    stoppedAt: epochMs(),
    expiresAt: epochMs(),
    reason: z.nullable(z.enum(STOP_REASONS)),
    detail: z.nullable(text()),
    image: z.object({ id: text(), name: z.nullable(text()) }),
    memoryBytes: z.number(),
    cpus: z.number(),
    diskBytes: z.number(),
    labels: z.record(z.string(), z.string()),
    region: text(),
    supervisorPid: z.nullable(count()),
    vmPid: z.nullable(count()),
    accelerator: z.nullable(text()),
  });

export const SBX_METHODS = {
  "sbx.resize": method(() => z.extend(terminalSize(), { pid: pid() }), none),
  "sbx.connect": method(
    // A port, or the path of a Unix socket.
    () =>
      z.object({
        host: opt(name()),
        port: opt(port()),
        path: opt(path()),
        user: opt(name()),
        stdinStreamId: streamId(),
      }),
    () => z.object({ streamId: streamId() }),
  ),
  "sbx.copySend": method(
    () => z.object({ paths: list(path()).check(z.minLength(1)), globs: z.boolean(), user: opt(name()) }),
    () => z.object({ streamId: streamId() }),
  ),
  "sbx.copyWait": method(() => z.object({ streamId: streamId() }), copyReport),
  "sbx.copyReceive": method(
    () => z.object({ destination: path(), directory: z.boolean(), user: opt(name()), streamId: streamId() }),
    copyReport,
  ),
  "sbx.info": method(() => z.object({}), sandboxInfo),
  "sbx.stats": method(
    () => z.object({}),
    () => z.object({ memoryTotal: count(), memoryAvailable: count(), processes: count(), oomKills: count() }),
  ),
};
