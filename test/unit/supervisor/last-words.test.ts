/** What a machine said last, which becomes the reason of its sandbox's end: the guest's words, bounded. */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { LastWords } from "../../../src/supervisor/guest-boot.ts";
import type { VirtualMachine } from "../../../src/vm/virtual-machine.ts";

async function wordsOf(consoleText: string, errors = ""): Promise<LastWords> {
  const [consoleOutput, errorOutput] = [new PassThrough(), new PassThrough()];
  const vm = { consoleOutput, errorOutput, exited: new Promise(() => undefined) } as unknown as VirtualMachine;
  const words = new LastWords(vm, null);
  consoleOutput.write(Buffer.from(consoleText, "latin1"));
  errorOutput.write(Buffer.from(errors, "latin1"));
  await new Promise((resolve) => setImmediate(resolve));
  return words;
}

test("the agent's own word goes before the kernel's, and that before QEMU's", async () => {
  const fatal = "sbx-agent: fatal: no root\r\nKernel panic - not syncing";
  assert.equal((await wordsOf(fatal, "qemu: bye\n")).summary(), "the guest's agent gave up: no root");
  assert.equal((await wordsOf("Kernel panic - not", "qemu: bye\n")).summary(), "the guest's kernel panicked");
  assert.equal((await wordsOf("", "first\nqemu: bye\n")).summary(), "qemu: bye");
  assert.equal((await wordsOf("")).summary(), "QEMU gave no reason");
});

test("what a guest has sbx quote is short and has no controls, so that what keeps it stays small", async () => {
  const summary = (await wordsOf(`sbx-agent: fatal: ${"\u0001\u009b".repeat(900)}`)).summary();
  assert.match(summary, /^the guest's agent gave up: \?{300}$/);
  assert.ok((await wordsOf("", `${"\u001b".repeat(1900)}\n`)).summary().length <= 300);
});
