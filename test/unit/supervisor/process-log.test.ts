/** Output of processes in the background: whole, in lines, bounded, and never ahead of what the log takes. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import type { AgentExit } from "../../../src/protocol/agent-calls.ts";
import {
  MAX_BLOCK_CHARS,
  MAX_RECORD_CHARS,
  parseLineRecord,
  type LineRecord,
} from "../../../src/protocol/line-records.ts";
import { LineBlocks } from "../../../src/supervisor/watch/line-blocks.ts";
import { ProcessLog, type BackgroundProcess } from "../../../src/supervisor/watch/process-log.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const ENDED: AgentExit = { code: 0, signal: null, oom: null };

async function* bytes(...chunks: (string | Buffer)[]): AsyncIterable<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

function process(change: Partial<BackgroundProcess> = {}): BackgroundProcess {
  return { pid: 7, program: "node", exit: Promise.resolve(ENDED), stdout: null, stderr: null, ...change };
}

function openLog(t: TestContext, options: ConstructorParameters<typeof ProcessLog>[1] = {}) {
  const directory = temporaryDirectory(t);
  const log = new ProcessLog(directory, { rateBytes: 1e12, ...options });
  t.after(() => log[Symbol.dispose]());
  const file = path.join(directory, "process.log");
  const records = (): LineRecord[] =>
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => parseLineRecord(line) ?? assert.fail(line));
  return { log, directory, file, records };
}

test("blocks are whole lines, whatever the cuts in between, and a rest is kept for the end", () => {
  const blocks = new LineBlocks();
  assert.deepEqual(blocks.push(Buffer.from("on")), []);
  assert.deepEqual(blocks.push(Buffer.from("e\n\ntwo\nth")), ["one\n\ntwo"]);
  const umlaut = Buffer.from("ä");
  assert.deepEqual(blocks.push(umlaut.subarray(0, 1)), []);
  assert.deepEqual(blocks.push(Buffer.concat([umlaut.subarray(1), Buffer.from("\nr")])), ["thä"]);
  assert.deepEqual(blocks.rest(), ["r"]);
  assert.deepEqual(blocks.rest(), []);
});

test("no block is longer than its bound, lines go whole where they can, and nothing is lost", () => {
  const line = `${"x".repeat(99)}\n`;
  const text = `${line.repeat(300)}${"y".repeat(3 * MAX_BLOCK_CHARS)}\n${line}`;
  const blocks = new LineBlocks();
  const all = [...blocks.push(Buffer.from(text.slice(0, 70_000))), ...blocks.push(Buffer.from(text.slice(70_000)))];
  assert.ok(all.every((block) => block.length <= MAX_BLOCK_CHARS));
  assert.ok(all[0]?.split("\n").every((one) => one.length === 99));
  assert.equal([...all, ...blocks.rest()].join("").replaceAll("\n", ""), text.replaceAll("\n", ""));
});

test("a character is not torn apart where a long line is cut", () => {
  for (const before of ["", "x"]) {
    const text = before + "\u{1f600}".repeat(MAX_BLOCK_CHARS);
    const [blocks, other] = [new LineBlocks(), new LineBlocks()];
    const unfinished = [...blocks.push(Buffer.from(text)), ...blocks.rest()];
    const finished = other.push(Buffer.from(`${text}\n`));
    for (const all of [unfinished, finished]) {
      assert.ok(all.every((block) => block.isWellFormed() && block.length <= MAX_BLOCK_CHARS));
      assert.equal(all.join(""), text);
    }
  }
});

test("an endless line costs no more memory than a block", () => {
  const blocks = new LineBlocks();
  for (let round = 0; round < 100; round++) blocks.push(Buffer.alloc(100_000, "z"));
  assert.ok((blocks.rest()[0]?.length ?? 0) <= MAX_BLOCK_CHARS);
});

test("a record of the worst characters is one that readers take whole", async (t) => {
  const { log, file } = openLog(t);
  await log.keep(process({ stdout: bytes(Buffer.alloc(MAX_BLOCK_CHARS - 1, 1)) }));
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  assert.ok(lines.every((line) => line.length <= MAX_RECORD_CHARS && parseLineRecord(line) !== undefined));
});

test("both outputs are kept with the process, its start and its end", async (t) => {
  const { log, records } = openLog(t);
  const exit: AgentExit = { code: 137, signal: "SIGKILL", oom: "high-confidence" };
  await log.keep(process({ exit: Promise.resolve(exit), stdout: bytes("a\nb"), stderr: bytes("c\n") }));
  const said = records().map(({ text, process: from }) => `${from?.pid} ${from?.stream} ${text}`);
  assert.equal(said[0], "7 event started: node");
  assert.deepEqual(said.slice(1, -1).sort(), ["7 stderr c", "7 stdout a", "7 stdout b"]);
  assert.equal(said.at(-1), "7 event ended by SIGKILL (out of memory)");
});

test("what came before the sandbox ended is kept, and its end is no failure", async (t) => {
  const { log, records } = openLog(t);
  async function* broken(): AsyncIterable<Buffer> {
    yield Buffer.from("half a line");
    throw new Error("the link is gone");
  }
  const exit = Promise.reject<AgentExit>(new Error("the link is gone"));
  await log.keep(process({ exit, stdout: broken() }));
  assert.deepEqual(
    records().map(({ text }) => text),
    ["started: node", "half a line"],
  );
});

test("two files with a cap are all that a flood leaves", async (t) => {
  const capBytes = 50_000;
  const { log, file } = openLog(t, { capBytes });
  const flood = Array.from({ length: 100 }, () => "y\n".repeat(3000));
  await log.keep(process({ stdout: bytes(...flood) }));
  assert.ok(statSync(file).size <= capBytes);
  assert.ok(statSync(`${file}.1`).size <= capBytes);
});

const FLOODS: [what: string, chunk: Buffer, mostBytes: number][] = [
  ["text", Buffer.alloc(100_000, "y"), 600_000],
  ["a byte at a time, each with a record of its own", Buffer.from("\n"), 20_000],
  ["control characters, each as long as six in the record", Buffer.alloc(10_000, 1), 120_000],
];

for (const [what, chunk, mostBytes] of FLOODS) {
  test(`a process that writes faster than the log is made to wait: ${what}`, async (t) => {
    const { log } = openLog(t, { rateBytes: 1_000_000 });
    let read = 0;
    let over = false;
    async function* fast(): AsyncIterable<Buffer> {
      while (!over && read < 20_000_000) {
        read += chunk.length;
        yield chunk;
      }
    }
    void log.keep(process({ stdout: fast() }));
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    const atOnce = read;
    over = true;
    log[Symbol.dispose]();
    assert.ok(atOnce <= mostBytes, `it took ${atOnce} bytes at once`);
  });
}

test("a directory that is gone loses the lines and nothing else", async (t) => {
  const { log, directory } = openLog(t);
  rmSync(directory, { recursive: true });
  await log.keep(process({ stdout: bytes("lost\n") }));
  mkdirSync(directory);
});
