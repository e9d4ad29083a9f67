/**
 * The first words to the agent of a restored machine: what makes this clone of its template different from all others
 * (docs/protocol-agent.md). They may wait in the machine's socket before anybody reads there.
 */
import { randomBytes } from "node:crypto";
import type { AgentCalls } from "./agent-calls.ts";
import { AGENT_PROTOCOL, encodeFrame, encodeJsonFrame, FRAME } from "./agent-frames.ts";

/** The id of the call that {@link greetAgent} makes. */
export const GREETING_CALL_ID = 1;

/** Fresh values for one clone; never to be used for a second. */
export function newIdentity(hostname: string): AgentCalls["resume"]["params"] {
  return {
    entropy: randomBytes(128).toString("base64"),
    unixNs: nowNs(),
    hostname,
    machineId: randomBytes(16).toString("hex"),
  };
}

/** HELLO and the call `resume` with id {@link GREETING_CALL_ID}. Contains entropy: for the machine's socket only. */
export function greetAgent(hostname: string): Buffer {
  const call = Buffer.from(JSON.stringify({ method: "resume", params: newIdentity(hostname) }));
  return Buffer.concat([
    encodeJsonFrame(FRAME.hello, 0, { protocol: AGENT_PROTOCOL }),
    encodeFrame(FRAME.call, GREETING_CALL_ID, call),
  ]);
}

/**
 * The host's clock, `ns` since the epoch, in decimal. (performance.timeOrigin would be finer, and wrong from the moment
 * on in which the host's clock is set or the host sleeps.)
 */
export function nowNs(): string {
  return String(BigInt(Date.now()) * 1_000_000n);
}
