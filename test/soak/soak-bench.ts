/** A control plane and a fast guest for the soak, each a process of its own. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { startAnswering } from "../../bench/serve/answering-process.ts";

const SETTLE_MS = 30_000;
const startedSchema = z.object({ url: z.string(), tokens: z.array(z.string()) });

export interface SoakServer extends AsyncDisposable {
  readonly url: string;
  readonly tokens: readonly string[];
  /** When all is quiet: its memory, and what should not be there. */
  settled(): Promise<{ memoryBytes: number; left: string[] }>;
}

/** @param home an empty directory with a short path */
export async function startSoakServer(home: string): Promise<SoakServer> {
  const script = (...parts: string[]): string => path.resolve(import.meta.dirname, ...parts);
  const socketPath = path.join(home, "rpc.sock");
  const guest = await startAnswering([process.execPath, script("../../bench/serve/fast-sandbox.ts"), socketPath, home]);
  const server = await startAnswering([process.execPath, script("soak-server.ts"), socketPath]);
  const { url, tokens } = startedSchema.parse(server.answer);
  return {
    ...{ url, tokens },
    settled: async () => ({ left: await leftOn(url, tokens), memoryBytes: residentBytes(server.pid) }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await guest[Symbol.asyncDispose]();
    },
  };
}

/** Sandboxes and connections that nobody has any more. */
async function leftOn(url: string, tokens: readonly string[]): Promise<string[]> {
  const end = performance.now() + SETTLE_MS;
  for (;;) {
    const left: string[] = [];
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const connections = Number(/^sbx_connections (\d+)$/m.exec(metrics)?.[1]);
    if (connections !== 0) left.push(`${connections} connections are left`);
    for (const [, status] of metrics.matchAll(/status="(5\d\d)"/g)) left.push(`answers with ${status ?? ""}`);
    for (const token of tokens) {
      const response = await fetch(`${url}/api/v2/sandboxes`, { headers: { authorization: `Bearer ${token}` } });
      const sandboxes = (await response.json()) as unknown[];
      if (sandboxes.length > 0) left.push(`${sandboxes.length} sandboxes are left`);
    }
    if (left.length === 0 || performance.now() > end) return left;
    await sleep(100);
  }
}

/** `VmRSS` of proc_pid_status(5). */
function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}
