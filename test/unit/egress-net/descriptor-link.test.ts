import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import {
  ACK,
  arpRequest,
  framed,
  GATEWAY_IPV4,
  PSH,
  readFrame,
  readSegment,
  SYN,
  tcp,
} from "../../../fuzz/net-guest-frames.ts";

test("a stack on a descriptor serves frames of all sizes, and ends with its link", async (t) => {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "echo-stack.ts")], {
    stdio: ["ignore", "inherit", "inherit", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  const exited = once(child, "exit");
  const link = child.stdio[3] as Duplex;
  const frames = readFrames(link);
  link.write(framed(arpRequest(GATEWAY_IPV4)));
  assert.equal(readFrame(await frames.next()).etherType, 0x0806);
  const ends = { to: "198.18.0.1", sourcePort: 5, targetPort: 7 };
  const tcpOptions = Buffer.from([2, 4, 0xff, 0xc8, 1, 3, 3, 7]);
  link.write(framed(tcp({ ...ends, sequence: 0, flags: SYN, tcpOptions })));
  let ack = (readSegment(await frames.next())?.sequence ?? 0) + 1;
  let sequence = 1;
  for (const size of [1, 60_000, 65_480, 3, 65_480]) {
    const data = Buffer.alloc(size, `${size}.`);
    link.write(framed(tcp({ ...ends, sequence, ack: ack >>> 0, flags: ACK | PSH, data })));
    sequence += size;
    let echoed: Buffer = Buffer.alloc(0);
    while (echoed.length < size)
      echoed = Buffer.concat([echoed, readSegment(await frames.next())?.data ?? Buffer.alloc(0)]);
    assert.ok(echoed.equals(data));
    ack += size;
  }
  link.end();
  assert.deepEqual(await exited, [0, null]);
});

function readFrames(link: Duplex): { next(): Promise<Buffer> } {
  async function* cut(): AsyncGenerator<Buffer, void> {
    let bytes: Buffer = Buffer.alloc(0);
    for await (const chunk of link as AsyncIterable<Buffer>) {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) {
        const end = 4 + bytes.readUInt32BE(0);
        yield bytes.subarray(4, end);
        bytes = bytes.subarray(end);
      }
    }
  }
  const frames = cut();
  return {
    next: async () => {
      const { value, done } = await frames.next();
      if (done === true) throw new Error("the link has ended");
      return value;
    },
  };
}
