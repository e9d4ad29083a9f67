/** The machine's part of the supervisor's socket (src/protocol/machine-calls.ts). */
import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod/mini";
import {
  COPIES_TARGET,
  copyCall,
  MAX_MACHINE_BODY_BYTES,
  PAUSE_TARGET,
  RESUME_TARGET,
  type CopyAnswer,
  type CopyCall,
} from "../protocol/machine-calls.ts";
import { SbxError, toErrorRecord } from "../runtime/errors.ts";
import type { SandboxInfo } from "../runtime/types.ts";
import { readBody, sendJson } from "./door-http.ts";

/** The machine of a sandbox, as its owner may handle it. Failures are SbxErrors. */
export interface MachineHandle {
  pause(): Promise<SandboxInfo>;
  resume(): Promise<SandboxInfo>;
  /** @param signal fires when nobody waits for the answer any more */
  copy(call: CopyCall, signal: AbortSignal): Promise<CopyAnswer>;
}

type Work = (machine: MachineHandle, body: string, signal: AbortSignal) => Promise<unknown>;

const ROUTES: Readonly<Record<string, Work>> = {
  [PAUSE_TARGET]: async (machine) => machine.pause(),
  [RESUME_TARGET]: async (machine) => machine.resume(),
  [COPIES_TARGET]: async (machine, body, signal) => machine.copy(parseCopyCall(body), signal),
};

/** Answers a request about the machine; false for one about something else. Never throws. */
export async function answerMachineCall(
  request: IncomingMessage,
  response: ServerResponse,
  pathname: string,
  machine: () => MachineHandle,
): Promise<boolean> {
  const work = Object.hasOwn(ROUTES, pathname) ? ROUTES[pathname] : undefined;
  if (work === undefined) return false;
  if (request.method !== "POST") {
    sendJson(response, 405, { code: "METHOD_NOT_ALLOWED", message: `${pathname} takes POST` });
    return true;
  }
  const gone = new AbortController();
  response.once("close", () => gone.abort(new SbxError("aborted", "nobody waits for it any more")));
  try {
    const body = await readBody(request, MAX_MACHINE_BODY_BYTES);
    if (body === undefined) {
      sendJson(response, 413, { code: "BODY_TOO_LARGE", message: `a body has up to ${MAX_MACHINE_BODY_BYTES} bytes` });
      return true;
    }
    sendJson(response, 200, await work(machine(), body, gone.signal));
  } catch (error) {
    const record = toErrorRecord(error);
    sendJson(response, record.code === "usage" ? 400 : 500, record);
  }
  return true;
}

/** @throws SbxError `usage` */
function parseCopyCall(body: string): CopyCall {
  try {
    return copyCall().parse(JSON.parse(body));
  } catch (cause) {
    const where = cause instanceof z.core.$ZodError ? `: ${cause.issues[0]?.path.map(String).join(".") ?? ""}` : "";
    throw new SbxError("usage", `the body is not what this call takes${where}`, { cause });
  }
}
