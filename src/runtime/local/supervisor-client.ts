/** Requests to a supervisor's socket that need no session: its info, its end, its lifetime. */
import { request } from "node:http";
import { sandboxTarget } from "../../protocol/sandbox-target.ts";
import { SbxError } from "../errors.ts";
import type { SandboxInfo } from "../types.ts";

const MAX_ANSWER_BYTES = 1024 * 1024;

export async function fetchInfo(socketPath: string, timeoutMs: number): Promise<SandboxInfo> {
  return (await send(socketPath, "GET", "/sbx/v1/info", { timeoutMs })) as SandboxInfo;
}

/** Asks for the end and waits until the supervisor says that it came. */
export async function requestStop(socketPath: string, id: string, timeoutMs: number): Promise<void> {
  await send(socketPath, "DELETE", sandboxTarget(id), { timeoutMs });
}

/** Returns the end that holds, epoch `ms`. */
export async function requestExtension(
  socketPath: string,
  id: string,
  stopAtMs: number,
  timeoutMs: number,
): Promise<number> {
  const body = { stop_at_ms: stopAtMs };
  const answer = (await send(socketPath, "PATCH", sandboxTarget(id), { body, timeoutMs })) as typeof body;
  return answer.stop_at_ms;
}

/** @throws SbxError `supervisor_lost` when nobody answers in time */
function send(
  socketPath: string,
  method: string,
  path: string,
  options: { body?: unknown; timeoutMs: number },
): Promise<unknown> {
  const lost = (cause: unknown): SbxError =>
    new SbxError("supervisor_lost", "the sandbox's supervisor does not answer", { cause, hint: "sbx list" });
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(options.timeoutMs);
    const outgoing = request({ socketPath, method, path, signal, headers: { connection: "close" } }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_BYTES) outgoing.destroy(new Error("its answer is too long"));
      });
      response.on("error", (cause) => reject(lost(cause)));
      response.on("end", () => {
        try {
          const value: unknown = JSON.parse(text);
          if (response.statusCode === 200) resolve(value);
          else
            reject(
              new SbxError("guest_error", (value as { message?: string }).message ?? `status ${response.statusCode}`),
            );
        } catch (cause) {
          reject(lost(cause));
        }
      });
    });
    outgoing.on("error", (cause) => reject(lost(cause)));
    outgoing.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}
