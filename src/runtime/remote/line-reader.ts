/** Reads answers in lines (protocol/control-lines.ts). What ends without its last line is an error, not an end. */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { ErrorBody } from "../../protocol/control-errors.ts";
import { MAX_LINE_BYTES, MAX_SILENCE_MS, parseControlLine, type ControlLine } from "../../protocol/control-lines.ts";
import { abortedError } from "../abort.ts";
import { SbxError } from "../errors.ts";
import { refusalError } from "../sandbox/handshake.ts";
import type { CallOptions, ProgressEvent } from "../types.ts";
import type { HttpAnswer } from "./http-answer.ts";

/** What lines come from: the body of an answer, or a connection that was upgraded. */
export type LineSource = Pick<HttpAnswer, "headers"> & { body: Readable };

/**
 * Items, progress and the result, up to the end. Leaving early hangs up.
 *
 * @throws SbxError what the server failed with, `connection_closed` where it broke off, `aborted`
 */
export async function* readLines(
  answer: LineSource,
  url: URL,
  signal: AbortSignal | undefined,
): AsyncIterable<Exclude<ControlLine, { end: true } | { error: unknown }>> {
  const { body } = answer;
  const onAbort = (): unknown => body.destroy(new Error("aborted"));
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  try {
    for await (const text of linesOf(answer)) {
      if (text === "") continue;
      const line = parseControlLine(text);
      if ("error" in line) throw failureOf(answer, line.error);
      if ("end" in line) return;
      yield line;
      if ("result" in line) return;
    }
    throw new Error("it ended without an end");
  } catch (cause) {
    if (signal?.aborted === true) throw abortedError(signal, "asking the server");
    if (cause instanceof SbxError) throw cause;
    throw new SbxError("connection_closed", `the answer of ${url.origin} broke off`, {
      cause,
      hint: "see what became of it: sbx list",
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
    body.destroy();
  }
}

/** As if the call had been refused with it. */
function failureOf({ headers }: LineSource, error: ErrorBody): SbxError {
  return refusalError({ status: 0, headers, body: JSON.stringify(error) }, "server_failed");
}

/** The value behind the news of its progress. */
export async function resultOf(
  lines: ReturnType<typeof readLines>,
  url: URL,
  onProgress: CallOptions["onProgress"],
): Promise<unknown> {
  for await (const line of lines) {
    if ("result" in line) return line.result;
    if ("progress" in line) onProgress?.(line.progress as ProgressEvent);
  }
  throw new SbxError("connection_closed", `the answer of ${url.origin} has no result`, { hint: "sbx list" });
}

async function* linesOf({ body }: LineSource): AsyncIterable<string> {
  const decoder = new StringDecoder("utf8");
  const fail = (): unknown => body.destroy(new Error("it says nothing any more"));
  // Only while somebody waits: whoever takes his time with a line has not noticed the next one.
  let silence = setTimeout(fail, MAX_SILENCE_MS);
  let rest = "";
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      clearTimeout(silence);
      const lines = (rest + decoder.write(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE_BYTES) throw new Error("a line without an end");
      yield* lines;
      silence = setTimeout(fail, MAX_SILENCE_MS);
    }
  } finally {
    clearTimeout(silence);
  }
}
