/** Calls about sandboxes: what they are, their lifetimes, copies of them, what they say and use, their URLs. */
import * as z from "zod/mini";
import { controlCall } from "./control-call.ts";
import {
  amount,
  byRef,
  count,
  labels,
  nothing,
  port,
  ref,
  secretHost,
  secretValues,
  text,
  time,
  variables,
} from "./control-schema.ts";
import { EVENT_TYPES, type EventDetail } from "./event-record.ts";
import { sandboxInfo as runningInfo } from "./rpc-methods-sbx.ts";
import { MAX_BUSIEST, usageAnswer } from "./usage-calls.ts";

const STATUSES = ["creating", "running", "paused", "stopping", "stopped", "failed"] as const;
const MAX_LINES = 1_000_000;

const access = () => z.enum(["read-write", "read-only"]);

/** As SandboxInfo of the Runtime; without the host's process ids, which are nobody else's business. */
const sandbox = () =>
  z.extend(runningInfo(), {
    supervisorPid: z.null(),
    vmPid: z.null(),
    disks: z.optional(
      z.array(
        z.object({ kind: z.enum(["volume", "snapshot"]), id: text(), name: text(), path: text(), access: access() }),
      ),
    ),
  });

const checkpoint = () =>
  z.object({
    ...{ id: text(), name: text(), region: text(), createdAt: time(), imageId: text() },
    source: z.object({ id: text(), name: z.nullable(text()) }),
    ...{ memoryBytes: amount(), cpus: amount(), diskBytes: amount(), allocatedBytes: amount() },
    faults: z.array(text()),
    secrets: z.optional(z.array(z.object({ name: text(), hosts: z.array(secretHost()) }))),
  });

const exposure = () => z.object({ guestPort: port(), hostPort: port(), url: text(), createdAt: time() });

const exposed = () => z.object({ ref: ref(), guestPort: port() });

const detail = (): z.ZodMiniType<EventDetail> =>
  z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())]));

const named = () => z.object({ id: text(), name: text() });

export const SANDBOX_CALLS = {
  "sandbox.list": controlCall(
    { scope: "read", summary: "Sandboxes, the newest first" },
    () => z.object({ labels: z.optional(labels()) }),
    () => z.array(sandbox()),
  ),
  "sandbox.get": controlCall({ scope: "read", summary: "One sandbox" }, byRef, sandbox),
  "sandbox.remove": controlCall({ scope: "sandboxes", summary: "End a sandbox" }, byRef, sandbox),
  "sandbox.extend": controlCall(
    { scope: "sandboxes", summary: "Have a sandbox live for at least so long from now" },
    () => z.object({ ref: ref(), ms: z.number().check(z.positive(), z.maximum(2 ** 48)) }),
    () => z.object({ expiresAt: time() }),
  ),
  "sandbox.pause": controlCall({ scope: "sandboxes", summary: "Have a machine stand still" }, byRef, sandbox),
  "sandbox.resume": controlCall({ scope: "sandboxes", summary: "Let a paused machine go on" }, byRef, sandbox),
  "sandbox.fork": controlCall(
    {
      scope: "sandboxes",
      answer: "progress",
      long: true,
      summary: "Copy a running machine; all of the copies or none",
    },
    () =>
      z.object({
        ref: ref(),
        count: z.int().check(z.minimum(1), z.maximum(100)),
        name: z.optional(z.string().check(z.maxLength(64))),
        lifetimeMs: z.number().check(z.positive(), z.maximum(2 ** 48)),
        volumes: z.optional(z.enum(["refuse", "copy"])),
        labels: z.optional(labels()),
        env: z.optional(variables()),
        secretValues: z.optional(secretValues()),
      }),
    () => z.object({ sandboxes: z.array(sandbox()), pausedMs: amount() }),
  ),
  "sandbox.logs": controlCall(
    { scope: "read", answer: "items", summary: "What was said around a sandbox" },
    () =>
      z.object({
        ref: ref(),
        follow: z.optional(z.boolean()),
        tail: z.optional(count().check(z.maximum(MAX_LINES))),
        sources: z.optional(z.array(z.enum(["supervisor", "console", "vm", "process"])).check(z.maxLength(4))),
        since: z.optional(time()),
      }),
    () =>
      z.object({
        time: z.nullable(time()),
        source: z.enum(["supervisor", "console", "vm", "process"]),
        text: text(),
        process: z.optional(z.object({ pid: count(), stream: z.enum(["stdout", "stderr", "event"]) })),
      }),
  ),
  "event.list": controlCall(
    { scope: "read", answer: "items", summary: "What happened, in order" },
    () =>
      z.object({
        follow: z.optional(z.boolean()),
        sandbox: z.optional(ref()),
        types: z.optional(z.array(z.enum(EVENT_TYPES)).check(z.maxLength(EVENT_TYPES.length))),
        after: z.optional(count()),
        since: z.optional(time()),
        until: z.optional(time()),
        tail: z.optional(count().check(z.maximum(MAX_LINES))),
      }),
    () =>
      z.object({
        seq: count(),
        time: time(),
        type: z.enum(EVENT_TYPES),
        sandbox: z.nullable(z.object({ id: text(), name: z.nullable(text()) })),
        subject: z.nullable(named()),
        detail: detail(),
      }),
  ),
  "usage.list": controlCall(
    { scope: "read", summary: "What running sandboxes use" },
    () =>
      z.object({
        sandbox: z.optional(ref()),
        processes: z.optional(count().check(z.maximum(MAX_BUSIEST))),
      }),
    () =>
      z.array(
        z.object({
          ...{ id: text(), name: z.nullable(text()), status: z.enum(STATUSES), cpus: amount(), memoryBytes: amount() },
          startedAt: z.nullable(time()),
          usage: z.nullable(usageAnswer()),
        }),
      ),
  ),
  "prune.run": controlCall(
    { scope: "sandboxes", summary: "Remove records of sandboxes that are over, and what nothing refers to" },
    () => z.object({ dryRun: z.optional(z.boolean()) }),
    () =>
      z.object({
        removed: z.array(
          z.object({
            kind: z.enum(["sandbox", "image", "template", "volume", "layer", "directory", "process"]),
            ...{ id: text(), bytes: amount() },
          }),
        ),
        failed: z.array(z.object({ kind: text(), id: text(), error: text() })),
      }),
  ),
  "checkpoint.create": controlCall(
    { scope: "sandboxes", answer: "progress", summary: "Keep a copy of a running machine" },
    () => z.object({ ref: ref(), name: z.string().check(z.minLength(1), z.maxLength(64)) }),
    () => z.extend(checkpoint(), { pausedMs: amount() }),
  ),
  "checkpoint.list": controlCall({ scope: "read", summary: "Checkpoints, the newest first" }, nothing, () =>
    z.array(checkpoint()),
  ),
  "checkpoint.get": controlCall({ scope: "read", summary: "One checkpoint" }, byRef, checkpoint),
  "checkpoint.remove": controlCall({ scope: "sandboxes", summary: "Remove a checkpoint" }, byRef, checkpoint),
  "exposure.add": controlCall({ scope: "sandboxes", summary: "Give a port a URL" }, exposed, exposure),
  "exposure.list": controlCall({ scope: "read", summary: "The URLs of a sandbox, by port" }, byRef, () =>
    z.array(exposure()),
  ),
  "exposure.remove": controlCall({ scope: "sandboxes", summary: "Take the URL of a port away" }, exposed, exposure),
};
