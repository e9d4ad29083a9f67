/** Streams of the published API: a JSON object a line, until the server ends it. */
import { StringDecoder } from "node:string_decoder";
import { abortedError } from "../abort.ts";
import { SbxError } from "../errors.ts";
import type { HttpAnswer } from "./http-answer.ts";

/** Longest line, `chars`. */
const MAX_LINE_CHARS = 1024 * 1024;

/** @throws SbxError `server_failed` for what is no JSON, `connection_closed` where it breaks off, `aborted` */
export async function* readJsonLines(
  { body }: HttpAnswer,
  { origin }: URL,
  signal: AbortSignal | undefined,
): AsyncIterable<unknown> {
  const onAbort = (): unknown => body.destroy(new Error("aborted"));
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const decoder = new StringDecoder("utf8");
  let partial = "";
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const lines = (partial + decoder.write(chunk)).split("\n");
      partial = lines.pop() ?? "";
      if (partial.length > MAX_LINE_CHARS) throw new Error("a line is too long");
      for (const line of lines) if (line.trim() !== "") yield parse(line, origin);
    }
  } catch (cause) {
    if (signal?.aborted === true) throw abortedError(signal, "asking the server");
    if (cause instanceof SbxError) throw cause;
    throw new SbxError("connection_closed", `the answer of ${origin} broke off`, { cause, hint: "sbx app list" });
  } finally {
    signal?.removeEventListener("abort", onAbort);
    body.destroy();
  }
}

function parse(line: string, origin: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (cause) {
    throw new SbxError("server_failed", `${origin} does not answer in JSON`, { cause, hint: "sbx doctor" });
  }
}
