/** The program in the guest that starts and ends VS Code there, and what it printed. The guest may do anything. */
import type { Readable } from "node:stream";
import {
  editorCommand,
  EDITOR_LOG_PATH,
  MAX_EDITOR_ANSWER_BYTES,
  type EditorLaunch,
} from "../../../protocol/editor-launch.ts";
import { throwIfAborted } from "../../abort.ts";
import { SbxError } from "../../errors.ts";
import type { Sandbox } from "../../runtime.ts";
import type { CallOptions } from "../../types.ts";

/** Under emulation, on a busy machine, it takes a minute to be there, `ms`. */
const LAUNCH_LIMIT_MS = 180_000;

/** Runs the program that starts and ends it. @throws SbxError `guest_error` with its last words, `timeout`, `aborted` */
export async function runLauncher(
  sandbox: Pick<Sandbox, "exec" | "id" | "info">,
  launch: EditorLaunch,
  { signal }: CallOptions,
  limitMs = LAUNCH_LIMIT_MS,
): Promise<unknown> {
  const limit = AbortSignal.timeout(limitMs);
  const until = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  const what = launch.action === "start" ? "start" : "stop";
  await using session = await sandbox.exec({ argv: editorCommand(launch) }, { signal: until });
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(until.reason);
  until.addEventListener("abort", stop, { once: true });
  if (until.aborted) stop();
  const finished = Promise.all([readStart(session.stdout), readStart(session.stderr), session.exit]);
  // Its end is awaited no longer than that: what ends it is the guest's to obey.
  const [stdout, stderr, { code }] = await Promise.race([finished, stopped])
    .catch((error: unknown) => {
      throwIfAborted(signal, "waiting for VS Code");
      if (!limit.aborted) throw error;
      throw new SbxError("timeout", `VS Code did not ${what} within ${limitMs / 1000} s`);
    })
    .finally(() => until.removeEventListener("abort", stop));
  const answer = code === 0 ? parseJson(stdout) : undefined;
  if (answer !== undefined) return answer;
  throw new SbxError("guest_error", `VS Code did not ${what} in the sandbox`, {
    cause: new Error(stderr.trim() === "" ? `its launcher ended with status ${code}` : stderr.trim()),
    hint: `sbx exec ${sandbox.info.name ?? sandbox.id} -- cat ${EDITOR_LOG_PATH}`,
  });
}

/** The beginning of an output; the rest is let go. */
async function readStart(output: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of output as AsyncIterable<Buffer>) {
    if (bytes < MAX_EDITOR_ANSWER_BYTES) chunks.push(chunk.subarray(0, MAX_EDITOR_ANSWER_BYTES - bytes));
    bytes += chunk.length;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
