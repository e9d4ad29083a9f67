/** Finding the server of a process in the guest: which TCP ports it, or a descendant, listens on. */
import { setTimeout as sleep } from "node:timers/promises";
import type { AgentLink } from "../../guest/link.ts";
import { AgentError } from "../../guest/link.ts";
import type { GuestProcess } from "./process-table.ts";

/** The guest cannot tell when a port is opened, so it is asked: soon and often, then more and more seldom, `ms`. */
const FIRST_INTERVAL_MS = 20;
const LAST_INTERVAL_MS = 2_000;
const INTERVAL_GROWTH = 1.3;

/** The ports, in no particular order; none for a process that is gone. */
export async function listeningPorts(link: AgentLink, process: GuestProcess, signal: AbortSignal): Promise<number[]> {
  if (process.exited) return [];
  try {
    const { ports } = await link.call("listening", { pid: process.pid }, { signal });
    if (ports.length > 0) process.hasServed = true;
    return ports;
  } catch (error) {
    if (error instanceof AgentError && error.code === "ESRCH") return [];
    throw error;
  }
}

/** True once the process listens or if it ever did, false if it ends before. */
export async function waitForServer(link: AgentLink, process: GuestProcess, signal: AbortSignal): Promise<boolean> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  void process.exit.then(end, end);
  const waking = AbortSignal.any([ended.signal, signal]);
  for (let intervalMs = FIRST_INTERVAL_MS; !process.exited; intervalMs *= INTERVAL_GROWTH) {
    if (process.hasServed || (await listeningPorts(link, process, signal)).length > 0) return true;
    try {
      await sleep(Math.min(intervalMs, LAST_INTERVAL_MS), undefined, { signal: waking, ref: false });
    } catch {
      signal.throwIfAborted(); // otherwise the process has ended, which the loop sees
    }
  }
  return process.hasServed;
}
