/**
 * Linux's own TCP at the guest's end, with random scripts on both: the bytes that arrive are those that were sent, in
 * both directions, and both ends learn how it ended. Frames are lost, repeated and put out of order on the way.
 * SBX_KERNEL_CASES=150 SBX_KERNEL_SEED=7 runs more of them, and others.
 */
import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { SeededRandom } from "../../../fuzz/seeded-random.ts";
import type { GuestFlow } from "../../../src/egress/guest-flow.ts";
import { type NetStack, openNetStack } from "../../../src/egress/net/net-stack.ts";
import {
  type ClientResult,
  type ClientScript,
  findObstacle,
  type KernelGuest,
  makePattern,
  startKernelGuest,
  type WriteStep,
} from "./kernel-guest.ts";

const CASES = Number(process.env["SBX_KERNEL_CASES"] ?? 15);
const SEED = Number(process.env["SBX_KERNEL_SEED"] ?? 1);
const skip = findObstacle() ?? false;

/** What one end did and saw. */
interface Outcome {
  sent: number;
  received: number;
  wrong: boolean;
  writeEnd: string | null;
  readEnd: string | null;
}

describe("a kernel's connection", { skip }, () => {
  test("carries both directions exactly, however they are cut, read and ended", async (t) => {
    await using bench = await openBench(t);
    await bench.runCases(SEED, CASES);
  });

  test("carries both directions exactly while frames are put out of order and repeated", async (t) => {
    await using bench = await openBench(t);
    bench.guest.setFaults({ repeat: 0.05, delay: 0.2, delayMs: 3 }, SEED);
    await bench.runCases(SEED + 1_000_000, CASES);
  });

  test("carries both directions exactly while frames are lost", async (t) => {
    await using bench = await openBench(t);
    bench.guest.setFaults({ drop: 0.02, repeat: 0.02, delay: 0.1, delayMs: 3 }, SEED);
    await bench.runCases(SEED + 2_000_000, CASES);
  });

  test("is refused at once when the flow is", async (t) => {
    await using bench = await openBench(t);
    const result = await bench.guest.run({ host: "192.0.2.1", port: 1, seed: 1, peerSeed: 1, write: [["end", 0]] });
    assert.equal(result.readEnd, "ECONNREFUSED");
  });
});

interface Bench extends AsyncDisposable {
  guest: KernelGuest;
  stack: NetStack;
  runCases(seed: number, count: number): Promise<void>;
}

async function openBench(t: Parameters<typeof startKernelGuest>[0]): Promise<Bench> {
  const guest = await startKernelGuest(t);
  const waiting = new Map<number, (flow: GuestFlow) => void>();
  const stack = openNetStack({
    link: guest.link,
    onFlow: (flow) => {
      const serve = waiting.get(flow.target.port);
      if (serve === undefined) flow.refuse();
      else serve(flow);
    },
    onDatagram: () => undefined,
    limits: { retransmitMs: 100 },
  });
  guest.link.resume();
  const runCases = async (seed: number, count: number): Promise<void> => {
    const cases = Array.from({ length: count }, (_, at) => runCase(guest, waiting, seed + at, 1000 + at));
    const failures = (await Promise.all(cases)).filter((failure) => failure !== undefined);
    assert.deepEqual(failures, []);
    const { flows, receivedBytes, unacknowledgedBytes } = stack.memory;
    assert.deepEqual(
      { flows, receivedBytes, unacknowledgedBytes },
      { flows: 0, receivedBytes: 0, unacknowledgedBytes: 0 },
    );
  };
  return { guest, stack, runCases, [Symbol.asyncDispose]: async () => stack.close() };
}

/** The failure, with what is needed to see it again. */
async function runCase(
  guest: KernelGuest,
  waiting: Map<number, (flow: GuestFlow) => void>,
  seed: number,
  port: number,
): Promise<object | undefined> {
  const random = new SeededRandom(seed);
  const client = makeScript(random, seed, port);
  const steps = makeSteps(random);
  const host = new Promise<Outcome>((resolve) => {
    waiting.set(port, (flow) => {
      waiting.delete(port);
      resolve(runHost(flow.accept(), { seed, steps, random: new SeededRandom(seed + 7), peerSeed: client.seed }));
    });
  });
  const [guestOutcome, hostOutcome] = await Promise.all([guest.run(client), host]);
  const problems = compare(guestOutcome, hostOutcome, isReset(client.write), isReset(steps));
  return problems.length === 0 ? undefined : { seed, problems, client, steps, guestOutcome, hostOutcome };
}

function makeScript(random: SeededRandom, seed: number, port: number): ClientScript {
  const script: ClientScript = {
    host: random.chance(30) ? `fd73:6278:0:1::${port.toString(16)}` : `198.18.0.${1 + random.below(250)}`,
    port,
    seed: seed * 2 + 1,
    peerSeed: seed,
    write: makeSteps(random),
    ...random.pick([
      { readSize: 100, readPause: 0.01 },
      { readSize: 4096, readPause: 0.2 },
      { readSize: 65_536, readPause: 0.5 },
      { readSize: 262_144, readPause: 0 },
    ]),
    noDelay: random.chance(50),
  };
  if (random.chance(30)) script.options = [["SO_RCVBUF", random.pick([2304, 8192, 100_000])]];
  return script;
}

function makeSteps(random: SeededRandom): WriteStep[] {
  const largest = random.pick([10, 3000, 70_000, 400_000]);
  const steps: WriteStep[] = [];
  for (let count = random.below(12); count > 0; count--) {
    if (random.chance(20)) steps.push(["pause", random.below(12)]);
    else steps.push(["send", 1 + random.below(largest)]);
  }
  steps.push(random.chance(12) ? ["reset", 0] : ["end", 0]);
  return steps;
}

function isReset(steps: WriteStep[]): boolean {
  return steps.at(-1)?.[0] === "reset";
}

/** Without a reset everything arrives and both ends end; with one, what arrives is what was sent first. */
function compare(guest: ClientResult, host: Outcome, guestResets: boolean, hostResets: boolean): string[] {
  const problems: string[] = [];
  const check = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(problem);
  };
  check(!guest.wrong, "the guest received bytes that were not sent");
  check(!host.wrong, "the host received bytes that were not sent");
  check(guest.received <= host.sent, "the guest received more than was sent");
  check(host.received <= guest.sent, "the host received more than was sent");
  if (!guestResets && !hostResets) {
    check(guest.received === host.sent && host.received === guest.sent, "not everything arrived");
    check(guest.readEnd === "end" && guest.writeEnd === "end", "the guest did not see the end");
    check(host.readEnd === "end" && host.writeEnd === "end", "the host did not see the end");
  }
  // Whoever was reset before it had ended itself and had read the other's end must have noticed.
  if (hostResets && !guestResets) check(host.readEnd !== null, "the host did not end");
  if (guestResets && !hostResets)
    check(host.readEnd === "ECONNRESET" || host.readEnd === "end", "the host saw no reset");
  return problems;
}

interface HostScript {
  seed: number;
  peerSeed: number;
  steps: WriteStep[];
  random: SeededRandom;
}

async function runHost(stream: Duplex, script: HostScript): Promise<Outcome> {
  const outcome: Outcome = { sent: 0, received: 0, wrong: false, writeEnd: null, readEnd: null };
  await Promise.all([writeHost(stream, script, outcome), readHost(stream, script, outcome)]);
  // Only then is it known that the guest has everything.
  if (!stream.closed) await new Promise((resolve) => stream.once("close", resolve));
  if (stream.errored !== null) outcome.writeEnd = codeOf(stream.errored);
  return outcome;
}

async function writeHost(stream: Duplex, { steps, seed }: HostScript, outcome: Outcome): Promise<void> {
  const pattern = makePattern(seed);
  for (const [kind, value] of steps) {
    if (stream.destroyed) return;
    switch (kind) {
      case "send":
        await send(stream, pattern, value, outcome);
        break;
      case "pause":
        await pause(value);
        break;
      case "end":
        stream.end();
        outcome.writeEnd = "end";
        break;
      case "reset":
        stream.destroy();
        outcome.writeEnd = "reset";
    }
  }
}

async function send(stream: Duplex, pattern: Buffer, count: number, outcome: Outcome): Promise<void> {
  for (let rest = count; rest > 0 && !stream.destroyed;) {
    const at = outcome.sent % pattern.length;
    const piece = pattern.subarray(at, at + rest);
    outcome.sent += piece.length;
    rest -= piece.length;
    if (stream.write(piece)) continue;
    await new Promise<void>((resolve) => {
      stream.once("drain", resolve);
      stream.once("close", resolve);
    });
  }
}

async function readHost(stream: Duplex, script: HostScript, outcome: Outcome): Promise<void> {
  const pattern = makePattern(script.peerSeed);
  const slow = script.random.pick([0, 0, 20, 60]);
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length;) {
        const begin = outcome.received % pattern.length;
        const expected = pattern.subarray(begin, begin + chunk.length - at);
        if (!expected.equals(chunk.subarray(at, at + expected.length))) outcome.wrong = true;
        outcome.received += expected.length;
        at += expected.length;
      }
      if (script.random.chance(slow)) await pause(script.random.below(5));
    }
    outcome.readEnd = "end";
  } catch (error) {
    outcome.readEnd = codeOf(error);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error);
}
