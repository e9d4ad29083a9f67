/** Requests to a supervisor's socket that need no session: its info, its end, its lifetime. */
import { request } from "node:http";
import { sandboxTarget } from "../../protocol/sandbox-target.ts";
import { abortedError } from "../abort.ts";
import { ERROR_EXITS, SbxError, type ErrorCode } from "../errors.ts";
import type { SandboxInfo } from "../types.ts";

const MAX_ANSWER_BYTES = 1024 * 1024;

export async function fetchInfo(socketPath: string, timeoutMs: number): Promise<SandboxInfo> {
  return (await callSupervisor(socketPath, "GET", "/sbx/v1/info", { timeoutMs })) as SandboxInfo;
}

/** Asks for the end and waits until the supervisor says that it came. */
export async function requestStop(socketPath: string, id: string, timeoutMs: number): Promise<void> {
  await callSupervisor(socketPath, "DELETE", sandboxTarget(id), { timeoutMs });
}

/** Returns the end that holds, epoch `ms`. */
export async function requestExtension(
  socketPath: string,
  id: string,
  stopAtMs: number,
  timeoutMs: number,
): Promise<number> {
  const body = JSON.stringify({ stop_at_ms: stopAtMs });
  const answer = await callSupervisor(socketPath, "PATCH", sandboxTarget(id), { body, timeoutMs });
  return (answer as { stop_at_ms: number }).stop_at_ms;
}

export interface SupervisorCall {
  /** JSON. */
  body?: string;
  timeoutMs: number;
  maxAnswerBytes?: number;
  signal?: AbortSignal | undefined;
  /** The error for an answer that is no success; `guest_error` if absent. The answer is not parsed. */
  refused?: (status: number, message: string, answer: unknown) => SbxError;
}

/** A refusal with its code and hint. The supervisor is the same version of sbx: its codes are ours. */
export function refusedWithCode(_status: number, message: string, answer: unknown): SbxError {
  const { code, hint } = answer as { code?: unknown; hint?: unknown };
  const known = typeof code === "string" && Object.hasOwn(ERROR_EXITS, code);
  return new SbxError(known ? (code as ErrorCode) : "guest_error", message, typeof hint === "string" ? { hint } : {});
}

/** @throws SbxError `supervisor_lost` when nobody answers in time, `aborted` */
export function callSupervisor(
  socketPath: string,
  method: string,
  path: string,
  options: SupervisorCall,
): Promise<unknown> {
  const { body, maxAnswerBytes = MAX_ANSWER_BYTES } = options;
  const lost = (cause: unknown): SbxError =>
    options.signal?.aborted === true
      ? abortedError(options.signal, "asking the sandbox's supervisor")
      : new SbxError("supervisor_lost", "the sandbox's supervisor does not answer", { cause, hint: "sbx list" });
  const refused = options.refused ?? ((_status, message) => new SbxError("guest_error", message));
  return new Promise((resolve, reject) => {
    const timeout = AbortSignal.timeout(options.timeoutMs);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
    const outgoing = request({ socketPath, method, path, signal, headers: { connection: "close" } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > maxAnswerBytes) outgoing.destroy(new Error("its answer is too long"));
      });
      response.on("error", (cause) => reject(lost(cause)));
      response.on("end", () => {
        try {
          const value: unknown = JSON.parse(text);
          const { statusCode = 0 } = response;
          if (statusCode === 200) resolve(value);
          else reject(refused(statusCode, (value as { message?: string }).message ?? `status ${statusCode}`, value));
        } catch (cause) {
          reject(lost(cause));
        }
      });
    });
    outgoing.on("error", (cause) => reject(lost(cause)));
    outgoing.end(body);
  });
}
