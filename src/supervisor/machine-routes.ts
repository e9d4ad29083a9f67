/** The machine's part of the supervisor's socket (src/protocol/machine-calls.ts). */
import {
  COPIES_TARGET,
  copyCall,
  MAX_MACHINE_BODY_BYTES,
  PAUSE_TARGET,
  RESUME_TARGET,
  type CopyAnswer,
  type CopyCall,
} from "../protocol/machine-calls.ts";
import type { SandboxInfo } from "../runtime/types.ts";
import type { DoorTable } from "./door-http.ts";

/** The machine of a sandbox, as its owner may handle it. Failures are SbxErrors. */
export interface MachineHandle {
  pause(): Promise<SandboxInfo>;
  resume(): Promise<SandboxInfo>;
  /** @param signal fires when nobody waits for the answer any more */
  copy(call: CopyCall, signal: AbortSignal): Promise<CopyAnswer>;
}

const maxBytes = MAX_MACHINE_BODY_BYTES;

export const MACHINE_CALLS: DoorTable<MachineHandle> = {
  routes: {
    [PAUSE_TARGET]: { POST: { maxBytes, answer: (machine) => machine.pause() } },
    [RESUME_TARGET]: { POST: { maxBytes, answer: (machine) => machine.resume() } },
    [COPIES_TARGET]: {
      POST: { maxBytes, answer: (machine, { body, signal }) => machine.copy(copyCall().parse(body), signal) },
    },
  },
};
