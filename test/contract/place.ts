/** A place that the contract is held against: a runtime, and one sandbox in it that the tests share. */
import type { Runtime, Sandbox } from "../../src/runtime/runtime.ts";
import type { SandboxSpec } from "../../src/runtime/types.ts";

export interface Place {
  runtime: Runtime;
  sandbox: Sandbox;
  /** A part of the names of what is made there: two places may be one machine. */
  word: string;
  /** A directory for files of this machine. */
  scratchPath: string;
}

/** How a place is come by; called once, before its first test. */
export interface PlaceSource {
  /** For titles: `on this machine`. */
  title: string;
  open: () => Promise<Omit<Place, "sandbox"> & AsyncDisposable>;
}

/** As large as they are if nobody says otherwise: of these, every machine has a template. */
export const LASTING: SandboxSpec = { lifetime: { kind: "duration", ms: 10 * 60_000 } };
