/** Whether a program answers HTTP: any answer is one. */
import { once } from "node:events";
import type { Sandbox } from "../../runtime.ts";

/** For one answer, `ms`. */
const ANSWER_TIMEOUT_MS = 10_000;
const REQUEST = "GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: sbx-health-check\r\nconnection: close\r\n\r\n";

export async function answersHttp(sandbox: Sandbox, port: number, signal?: AbortSignal): Promise<boolean> {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  try {
    const tunnel = await sandbox.openTunnel({ port }, { signal: both });
    tunnel.on("error", () => undefined);
    try {
      tunnel.write(REQUEST);
      let head = "";
      while (head.length < 5) {
        await once(tunnel, "readable", { signal: both });
        const chunk = tunnel.read() as Buffer | null;
        if (chunk === null) {
          if (tunnel.readableEnded || tunnel.destroyed) return false;
          continue;
        }
        head += chunk.toString("latin1");
      }
      return head.startsWith("HTTP/");
    } finally {
      tunnel.destroy();
    }
  } catch {
    return false; // Refused, reset, or silent.
  }
}
