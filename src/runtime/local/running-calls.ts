/** Calls at the supervisor of a running sandbox, which is found by what the user calls it. */
import type { SandboxRow } from "../../store/sandbox-store.ts";
import type { CallOptions } from "../types.ts";
import { callSupervisor, refusedWithCode } from "./supervisor-client.ts";

const TIMEOUT_MS = 10_000;

export type FindRunning = (ref: string) => SandboxRow;

export interface RunningCall {
  ref: string;
  method: string;
  target: string;
  body?: object;
}

export async function callRunning(
  findRunning: FindRunning,
  { ref, method, target, body }: RunningCall,
  { signal }: CallOptions,
): Promise<unknown> {
  return callSupervisor(findRunning(ref).socket, method, target, {
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...{ signal, timeoutMs: TIMEOUT_MS, refused: refusedWithCode },
  });
}
