/** The agent's walk as a stream of entries. Every line is the guest's and is checked before it is believed. */
import { addAbortSignal } from "node:stream";
import * as z from "zod/mini";
import type { AgentWalkEntry } from "../../protocol/agent-calls.ts";
import { agentViolation } from "../../protocol/agent-frames.ts";
import type { GuestState } from "./guest-state.ts";

/** A path of the kernel's length, each byte escaped. */
const MAX_LINE_BYTES = 64 * 1024;

const ENTRY = z.object({
  path: z.string().check(z.minLength(1), z.maxLength(16_384)),
  name: z.string().check(z.maxLength(4096)),
  type: z.enum(["file", "dir", "symlink", "block", "char", "fifo", "socket"]),
  depth: z.number().check(z.int(), z.nonnegative()),
});

/**
 * Walks without following symbolic links: depth first, the root first.
 *
 * @param options.path absolute
 * @throws AgentError such as ENOENT; an error in the midst comes after the entries before it
 */
export async function* readWalkEntries(
  state: GuestState,
  options: { path: string; maxDepth: number | null },
  signal: AbortSignal,
): AsyncGenerator<AgentWalkEntry> {
  const readable = addAbortSignal(signal, state.link.openReadable());
  const { path, maxDepth } = options;
  const params = { path, user: state.user, maxDepth, follow: false, canonicalize: false, stream: readable.streamId };
  const call = state.link.call("fs.walk", params, { signal });
  call.catch(() => undefined); // awaited below, after what was read
  try {
    for await (const line of splitLines(readable as AsyncIterable<Buffer>)) yield parseEntry(line);
    await call;
  } catch (error) {
    // When the call fails its stream fails too; the call's own error says more.
    await call;
    throw error;
  } finally {
    readable.destroy();
  }
}

async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
      yield bytes.toString("utf8", 0, end);
      bytes = bytes.subarray(end + 1);
    }
    if (bytes.length > MAX_LINE_BYTES) throw agentViolation("a walk entry that does not end");
    rest = bytes;
  }
  if (rest.length > 0) throw agentViolation("a walk that ends within an entry");
}

function parseEntry(line: string): AgentWalkEntry {
  try {
    return ENTRY.parse(JSON.parse(line));
  } catch (cause) {
    throw agentViolation("a walk entry that is not valid", cause);
  }
}
