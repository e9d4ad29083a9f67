/** The two directions of a connection, as the standard streams of this process. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { CommandContext } from "../context.ts";

/** Carries the bytes until both directions are over. */
export async function relay(stream: Duplex, { stdin, stdout }: CommandContext): Promise<void> {
  const up = pipeline(stdin, stream, { end: true });
  up.catch(() => undefined); // The server hung up: what it said before still goes out.
  await pipeline(stream, stdout, { end: false });
}
