/** The calls of protocol/machine-calls.ts, as a client of one sandbox's socket. */
import {
  COPIES_TARGET,
  MAX_MACHINE_ANSWER_BYTES,
  PAUSE_TARGET,
  RESUME_TARGET,
  type CopyAnswer,
  type CopyCall,
} from "../../../protocol/machine-calls.ts";
import type { SandboxInfo } from "../../types.ts";
import { callSupervisor, refusedWithCode } from "../supervisor-client.ts";

/** QEMU stops a guest in milliseconds; one that waits for the host's disk, later. `ms` */
const TIMEOUT_MS = 30_000;
/** To copy a large memory to a slow disk, `ms`. */
const COPY_TIMEOUT_MS = 15 * 60_000;

export interface MachineTarget {
  socketPath: string;
  signal?: AbortSignal | undefined;
}

export async function pauseMachine(target: MachineTarget): Promise<SandboxInfo> {
  return (await call(target, PAUSE_TARGET, { timeoutMs: TIMEOUT_MS })) as SandboxInfo;
}

export async function resumeMachine(target: MachineTarget): Promise<SandboxInfo> {
  return (await call(target, RESUME_TARGET, { timeoutMs: TIMEOUT_MS })) as SandboxInfo;
}

/** @throws SbxError `supervisor_lost` or `aborted` when nobody knows whether the root disk was switched */
export async function copyMachine(target: MachineTarget, copy: CopyCall): Promise<CopyAnswer> {
  const options = { body: JSON.stringify(copy), timeoutMs: COPY_TIMEOUT_MS, maxAnswerBytes: MAX_MACHINE_ANSWER_BYTES };
  return (await call(target, COPIES_TARGET, options)) as CopyAnswer;
}

async function call(
  { socketPath, signal }: MachineTarget,
  path: string,
  options: { body?: string; timeoutMs: number; maxAnswerBytes?: number },
): Promise<unknown> {
  return callSupervisor(socketPath, "POST", path, { ...options, signal, refused: refusedWithCode });
}
