/** Whether VS Code answers at a port of a guest, without starting anything there. The answer is the guest's: bounded. */
import type { Duplex } from "node:stream";
import type { Sandbox } from "../../runtime.ts";

/** A server that takes longer is asked in the guest. `ms` */
const LIMIT_MS = 3_000;
const MAX_ANSWER_BYTES = 4096;
/** Its version is a commit of VS Code's; nobody has to sign in to be told. */
const REQUEST = "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const STATUS = "HTTP/1.1 200 ";
const END_OF_HEAD = "\r\n\r\n";
const COMMIT = /[0-9a-f]{40}/;

export async function answersAsEditor(
  sandbox: Pick<Sandbox, "openTunnel">,
  port: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  const until = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  try {
    const tunnel = await sandbox.openTunnel({ port }, { signal: until });
    return isEditor(await converse(tunnel, until));
  } catch {
    signal?.throwIfAborted();
    return false; // Nothing listens, or something else does.
  }
}

async function converse(tunnel: Duplex, signal: AbortSignal): Promise<string> {
  const stop = (): void => void tunnel.destroy(new Error("no answer"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    tunnel.write(REQUEST);
    let text = "";
    for await (const chunk of tunnel as AsyncIterable<Buffer>) {
      text += chunk.toString("latin1", 0, MAX_ANSWER_BYTES - text.length);
      if (isEditor(text) || text.length >= MAX_ANSWER_BYTES) break;
    }
    return text;
  } finally {
    signal.removeEventListener("abort", stop);
    tunnel.destroy();
  }
}

/** Step by step: one expression for all of it takes minutes over an answer that was made for that. */
function isEditor(text: string): boolean {
  const end = text.indexOf(END_OF_HEAD);
  return text.startsWith(STATUS) && end >= 0 && COMMIT.test(text.slice(end + END_OF_HEAD.length));
}
