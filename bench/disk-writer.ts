/**
 * Writes to a file in a guest and times itself, so that no program's start is in the figure: a sequential stream with
 * one fsync at its end, 4 KiB blocks in a random order with one fsync, and single blocks, each made safe.
 */
import type { Sandbox } from "../src/runtime/runtime.ts";
import type { PlainMachine } from "./plain-machine.ts";

export const WRITES = ["stream", "random", "safe"] as const;
export type Write = (typeof WRITES)[number];

export const STREAM_BYTES = 256 * 1024 ** 2;
export const RANDOM_BYTES = 32 * 1024 ** 2;
export const SAFE_BLOCKS = 200;

const SCRIPT = `
import os, random, sys, time
what, path = sys.argv[1:]
block = os.urandom(4096)
file = os.open(path, os.O_RDWR | os.O_CREAT)
if what != "stream" and os.fstat(file).st_size < ${RANDOM_BYTES}:
    for at in range(0, ${RANDOM_BYTES}, 1 << 20): os.pwrite(file, block * 256, at)
    os.fsync(file)
blocks = list(range(${RANDOM_BYTES} // 4096))
random.Random(1).shuffle(blocks)
start = time.monotonic()
if what == "stream":
    chunk = block * 256
    for at in range(0, ${STREAM_BYTES}, len(chunk)): os.pwrite(file, chunk, at)
    os.fsync(file)
elif what == "random":
    for number in blocks: os.pwrite(file, block, number * 4096)
    os.fsync(file)
else:
    for number in blocks[:${SAFE_BLOCKS}]:
        os.pwrite(file, block, number * 4096)
        os.fdatasync(file)
print((time.monotonic() - start) * 1000)
`;

function argvFor(write: Write, directory: string): [string, ...string[]] {
  return ["python3", "-c", SCRIPT, write, `${directory}/${write === "stream" ? "stream" : "blocks"}`];
}

/** Time in the guest, `ms`. */
export async function writeInSandbox(sandbox: Pick<Sandbox, "exec">, write: Write, directory: string): Promise<number> {
  await using session = await sandbox.exec({ argv: argvFor(write, directory), user: "root" });
  session.stderr.resume();
  return await readMs(session.stdout);
}

/** The same in a machine without sbx. */
export async function writeInPlainMachine(machine: PlainMachine, write: Write, directory: string): Promise<number> {
  const program = await machine.start(...argvFor(write, directory));
  program.stdin.end();
  return readMs(program.stdout);
}

async function readMs(stdout: AsyncIterable<Buffer | string>): Promise<number> {
  let said = "";
  for await (const chunk of stdout) said += String(chunk);
  const ms = Number(said);
  if (!(ms > 0)) throw new Error(`the writer said ${JSON.stringify(said.slice(0, 200))}`);
  return ms;
}
