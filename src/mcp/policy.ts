/**
 * What whoever starts the server has fixed. No tool has a parameter for any of it: the model works within it, and can
 * neither see nor widen it.
 */
import type { CallerEnvironment, SandboxSpec } from "../runtime/types.ts";

export interface McpPolicy {
  /** What every sandbox is: image, machine, network, secrets, files of this machine. */
  spec: Omit<SandboxSpec, "lifetime" | "name">;
  /** How many may run at once. */
  maxSandboxes: number;
  /** How long each may live, `ms`. */
  lifetimeMs: number;
  /** How long a command may run, `ms`. */
  commandLimitMs: number;
  /** Whether sandboxes and snapshots stay when the server ends. */
  keep: boolean;
  /** Where the values of secrets may be. */
  environment: NonNullable<CallerEnvironment["environment"]>;
}

/** Snapshots take room on the host's disk, which no other limit bounds. */
export const MAX_SNAPSHOTS = 8;

/** What a user recognises such sandboxes by, as in `sbx list --label made-by=mcp`. */
export const MADE_BY_LABEL = { "made-by": "mcp" } as const;
