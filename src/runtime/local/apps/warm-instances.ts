/** What instances ask of whoever keeps machines with their memory. */
import { createHash } from "node:crypto";
import type { Budget } from "../../../metering/budget.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import type { CallerEnvironment, Lifetime, NetworkSpec } from "../../types.ts";

/** A revision runs once for each context that it is active in. */
export interface InstanceName {
  revision: string;
  context: "production" | "development";
}

export interface WarmKey extends InstanceName {
  /** Of what the program was started with: one that was started with anything else is not used. */
  fit: string;
}

export interface WarmInstances {
  /** Whether one is kept that fits. */
  has(key: WarmKey): boolean;
  /** In the place of the one before. @throws SbxError as checkpoints do */
  keep(key: WarmKey, sandboxId: string, port: number, options?: CallOptions): Promise<void>;
  /**
   * A sandbox that goes on from there, and the port of its server; undefined where none is kept that fits.
   *
   * @throws SbxError why it does not start
   */
  start(
    key: WarmKey,
    spec: { labels: Record<string, string>; lifetime: Lifetime; budget: Budget },
    options: CallOptions & CallerEnvironment,
  ): Promise<{ sandbox: Sandbox; port: number } | undefined>;
  /** Whether there is one or not. */
  discard(name: InstanceName): Promise<void>;
  /** All of a revision. */
  release(revision: string): Promise<void>;
}

/** @param parts all that the program's start depends on, besides the files of the revision, which never change */
export function fitOf(parts: { network: NetworkSpec; env: Record<string, string>; size: unknown }): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
