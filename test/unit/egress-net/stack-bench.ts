/**
 * `node scripts/node.mjs test/unit/egress-net/stack-bench.ts`: bytes a second through the stack with a kernel's TCP at
 * the guest's end, and what they cost this process. The relay in Python is what limits them, not the stack.
 */
import type { Duplex } from "node:stream";
import { openNetStack } from "../../../src/egress/net/net-stack.ts";
import { startKernelGuest, type WriteStep } from "./kernel-guest.ts";

const UPLOAD_PORT = 9;
const TOTAL_BYTES = 2_000_000_000;
const CHUNK = Buffer.alloc(65_536);

async function main(): Promise<void> {
  const cleanups: (() => unknown)[] = [];
  const guest = await startKernelGuest({ after: (cleanup: () => unknown) => cleanups.push(cleanup) });
  const stack = openNetStack({
    link: guest.link,
    onFlow: (flow) => {
      const stream = flow.accept().resume();
      if (flow.target.port === UPLOAD_PORT) stream.once("end", () => stream.end());
      else writeAll(stream);
    },
    onDatagram: () => undefined,
  });
  guest.link.resume();
  const ends: [string, number, WriteStep[]][] = [
    [
      "upload",
      UPLOAD_PORT,
      [
        ["send", TOTAL_BYTES],
        ["end", 0],
      ],
    ],
    ["download", UPLOAD_PORT + 1, [["end", 0]]],
  ];
  for (const [name, port, write] of [...ends, ...ends]) {
    const { framesIn, framesOut } = stack.counters;
    const begin = performance.now();
    const cpu = process.cpuUsage();
    await guest.run({ host: "198.18.0.9", port, seed: 1, peerSeed: 1, write });
    const seconds = (performance.now() - begin) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    const frames = `${stack.counters.framesIn - framesIn} frames in, ${stack.counters.framesOut - framesOut} out`;
    const speed = `${Math.round(TOTAL_BYTES / 1e6 / seconds)} MB/s`;
    process.stdout.write(
      `${name}: ${speed}, ${Math.round((user + system) / (TOTAL_BYTES / 1e6))} µs of CPU a MB, ${frames}\n`,
    );
  }
  stack.close();
  for (const cleanup of cleanups) await cleanup();
}

function writeAll(stream: Duplex): void {
  let left = TOTAL_BYTES;
  const write = (): void => {
    while (left > 0) {
      left -= CHUNK.length;
      if (!stream.write(CHUNK)) {
        stream.once("drain", write);
        return;
      }
    }
    stream.end();
  };
  write();
}

await main();
