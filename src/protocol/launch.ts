/**
 * How a supervisor is started: one JSON line on its standard input, and JSON lines back on descriptor 3. Both ends are
 * the same version of sbx (the version is checked), so the types need no further parsing; nothing secret travels here.
 *
 * After `ready` the launcher writes the line `commit`. Until then the end of standard input means that the launcher
 * died, and the supervisor takes everything down again.
 */
import type { ErrorRecord } from "../runtime/errors.ts";
import type { EgressLaunch } from "./net-launch.ts";
import type { ResolvedSpecRecord } from "./sandbox-record.ts";

export const LAUNCH_VERSION = 1;
/** Descriptor of the supervisor's answers. */
export const ANSWER_FD = 3;
export const COMMIT_LINE = "commit";
/** Longest line either way, `bytes`. */
export const MAX_LINE_BYTES = 4 * 1024 * 1024;

/** Programs and machine, as found by the launcher. */
export interface LaunchMachine {
  qemu: { path: string; version: string; major: number; minor: number };
  tools: { bubblewrap: string | null; prlimit: string | null; setpriv: string | null };
  machine: {
    accelerator: { name: "kvm" | "tcg"; cpuModel: string; tscKhz: number | null };
    memoryBytes: number;
    cpus: number;
  };
  diskBytes: number;
  /** The image's root file system (raw, read-only). */
  imageRootPath: string;
}

export interface SandboxLaunch extends LaunchMachine {
  kind: "sandbox";
  version: typeof LAUNCH_VERSION;
  id: string;
  name: string | null;
  createdAt: number;
  directory: string;
  socketPath: string;
  databasePath: string;
  template: { memoryPath: string; statePath: string; diskPath: string; emptyLayerPath: string };
  spec: ResolvedSpecRecord;
  /** A session ends with the connection that presents the token. */
  lifetime: { kind: "session"; token: string } | { kind: "duration"; ms: number };
  env: Record<string, string>;
  egress: EgressLaunch;
  hostname: string;
  /** Whether the machine was started along with the supervisor. */
  prestarted: boolean;
}

export interface TemplateLaunch extends LaunchMachine {
  kind: "template";
  version: typeof LAUNCH_VERSION;
  /** A directory to fill; the launcher renames it when it is complete. */
  directory: string;
  key: string;
  imageId: string;
  boot: { kernelPath: string; initrdPath: string };
}

export type Launch = SandboxLaunch | TemplateLaunch;

export type LaunchAnswer =
  | { type: "progress"; message: string }
  /** Clients may connect to the sandbox's socket; they are served after `ready`. */
  | { type: "door" }
  /** `info` is the sandbox's (the runtime's SandboxInfo), `null` for a template. */
  | { type: "ready"; info: object | null }
  | { type: "failed"; error: ErrorRecord };
