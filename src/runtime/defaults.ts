/**
 * What a sandbox gets where nobody says otherwise. The command line reads these settings from its configuration and the
 * environment (src/cli/settings) and hands them to the runtime, which trusts them: they are checked where they are read.
 */

const MIB = 1024 * 1024;

/** How the guest's processor is driven; `auto` takes what is proven to work on this host. */
export const ACCELERATORS = ["auto", "kvm", "hvf", "tcg"] as const;

export type Accelerator = (typeof ACCELERATORS)[number];

export interface Settings {
  /** Memory of a new sandbox, `bytes`. */
  readonly memoryBytes: number;
  /** Virtual processors of a new sandbox. */
  readonly cpus: number;
  /** Size of a new sandbox's copy-on-write disk, `bytes`. */
  readonly diskBytes: number;
  /** Life of a sandbox that outlives the command that made it, `ms`. */
  readonly timeoutMs: number;
  /** Name, id or unique id prefix of the image to start from; `null` for the default image. */
  readonly image: string | null;
  readonly accelerator: Accelerator;
}

export const DEFAULT_SETTINGS: Settings = {
  memoryBytes: 1280 * MIB,
  cpus: 2,
  diskBytes: 10_000_000_000,
  timeoutMs: 30 * 60 * 1000,
  image: null,
  accelerator: "auto",
};
