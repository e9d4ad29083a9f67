/** Tools that make, copy, list and end sandboxes. */
import { z } from "zod";
import type { FleetMember, FleetSnapshot } from "../fleet.ts";
import { tool } from "../tool.ts";
import { name, sandbox } from "./inputs.ts";

const MAX_COPIES = 16;

function describeMember({ id, name: given, createdAt, expiresAt }: FleetMember): Record<string, unknown> {
  return { sandbox: id, name: given, created_at: isoTime(createdAt), expires_at: isoTime(expiresAt) };
}

function describeSnapshot({ name: given, slug, sizeBytes }: FleetSnapshot): Record<string, unknown> {
  return { snapshot: given, slug, size_bytes: sizeBytes };
}

const isoTime = (epochMs: number): string => new Date(epochMs).toISOString();

export const SANDBOX_TOOLS = [
  tool({
    name: "create_sandbox",
    title: "Create a sandbox",
    description:
      "Makes a new Linux machine of its own (Debian; python3, node, deno, git, a C compiler; sudo without a password) " +
      "and tells its id. What it may reach and how large it is, the user has decided. It is gone, with its files, when " +
      "it is killed, when its time is over, or when this server ends.",
    input: z.strictObject({
      name: name("A name to call it by from now on.").optional(),
      snapshot: name("Start from the disk of a snapshot that snapshot_sandbox made.").optional(),
    }),
    run: async (input, call) => describeMember(await call.fleet.create(input, call)),
  }),
  tool({
    name: "list_sandboxes",
    title: "List sandboxes",
    description: "Tells the sandboxes that this server has made and that still run, and the snapshots.",
    input: z.strictObject({}),
    readOnly: true,
    run: async (_input, { fleet, policy }) => ({
      sandboxes: fleet.list().map(describeMember),
      snapshots: fleet.snapshots().map(describeSnapshot),
      max_sandboxes: policy.maxSandboxes,
    }),
  }),
  tool({
    name: "kill_sandbox",
    title: "End a sandbox",
    description: "Ends a sandbox and throws away what is in it. Its snapshots stay.",
    input: z.strictObject({ sandbox: sandbox() }),
    destructive: true,
    run: async (input, { fleet }) => {
      const { id } = await fleet.kill(input.sandbox);
      return { sandbox: id, status: "killed" };
    },
  }),
  tool({
    name: "fork_sandbox",
    title: "Copy a running sandbox",
    description:
      "Copies a running sandbox, with its processes, memory and files as they are now: to try several things from one " +
      "state. The copies count as sandboxes and may do what the source may.",
    input: z.strictObject({
      sandbox: sandbox(),
      count: z.int().min(1).max(MAX_COPIES).default(1).describe("How many copies."),
    }),
    run: async (input, call) => {
      const { copies, pausedMs } = await call.fleet.fork(input.sandbox, input.count, call);
      return { sandboxes: copies.map(describeMember), source_paused_ms: Math.round(pausedMs) };
    },
  }),
  tool({
    name: "snapshot_sandbox",
    title: "Take a snapshot",
    description:
      "Keeps the files of a sandbox as they are now (not its processes), to start others from with create_sandbox.",
    input: z.strictObject({ sandbox: sandbox(), name: name("What the snapshot is to be called.") }),
    run: async (input, call) => describeSnapshot(await call.fleet.snapshot(input.sandbox, input.name, call)),
  }),
  tool({
    name: "expose_port",
    title: "Give a server a URL",
    description:
      "Gives an HTTP server in a sandbox a URL that works on the user's machine and nowhere else. The server has to listen " +
      "on this port of localhost; start it with start_process.",
    input: z.strictObject({
      sandbox: sandbox(),
      port: z.int().min(1).max(65_535).describe("The server's port in the sandbox."),
    }),
    run: async (input, { fleet, runtime, signal }) => {
      const { id } = fleet.find(input.sandbox);
      const { url, guestPort } = await runtime.exposures.add(id, { guestPort: input.port }, { signal });
      return { sandbox: id, port: guestPort, url };
    },
  }),
];
