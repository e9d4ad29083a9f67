/** What lies between the user's keyboard and a guest's program with a terminal. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { SessionTerminal, type SessionTerminalOptions } from "../../../../src/cli/session/session-terminal.ts";
import { copyInput } from "../../../../src/cli/session/streams.ts";

test("a terminal that is hung up is the end of input: the program may still do what it does at a hang-up", async () => {
  const stdin = Object.assign(new PassThrough(), { isTTY: true as const, setRawMode: () => stdin });
  const stdout = Object.assign(new PassThrough(), { columns: 80, rows: 24 });
  using terminal = new SessionTerminal({
    context: { stdin, stdout, stderr: stdout, signals: new EventEmitter(), suspend: () => undefined },
    session: { resize: () => undefined },
    screen: { lastOutputAt: 0 },
    escapeKey: "~",
    askWhyStill: async () => undefined,
  } as unknown as SessionTerminalOptions);
  const guest = new PassThrough();
  const ended = new Promise((resolve) => guest.once("end", () => resolve("ended")));
  guest.resume();
  using input = copyInput(terminal.keysOf(stdin), guest);
  stdin.write("ls\r");
  stdin.destroy(Object.assign(new Error("read EIO"), { code: "EIO" }));
  assert.equal(await Promise.race([ended, input.failed]), "ended");
});
