/** The keys that get out of a session, and that all others are the guest's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EscapeKeys, type EscapeAction } from "../../../../src/cli/terminal/escape-keys.ts";

/** Types the words one after the other. */
function type(escape: string | undefined, ...words: string[]): { sent: string; actions: EscapeAction[] } {
  const actions: EscapeAction[] = [];
  const keys = new EscapeKeys(escape, (action) => actions.push(action));
  const sent = Buffer.concat(words.map((word) => keys.feed(Buffer.from(word)))).toString();
  return { sent, actions };
}

test("Enter, ~ and . leave, however the keys come", () => {
  for (const words of [["ls\r~."], ["ls", "\r", "~", "."], ["ls\r~", "."], ["ls\n~."]]) {
    assert.deepEqual(type("~", ...words).actions, ["disconnect"]);
    assert.match(type("~", ...words).sent, /^ls[\r\n]$/);
  }
});

test("a session begins as a line does", () => {
  assert.deepEqual(type("~", "~.").actions, ["disconnect"]);
});

test("~ within a line is the guest's, and so is one that no known key follows", () => {
  assert.deepEqual(type("~", "cd ~.\r"), { sent: "cd ~.\r", actions: [] });
  assert.deepEqual(type("~", "\r~/bin/x\r"), { sent: "\r~/bin/x\r", actions: [] });
  assert.deepEqual(type("~", "\r~", "\r~."), { sent: "\r~\r", actions: ["disconnect"] });
});

test("~~ types ~, for a session within the session", () => {
  assert.deepEqual(type("~", "\r~~."), { sent: "\r~.", actions: [] });
});

test("~? and ~ Ctrl-Z are for sbx, and the line begins anew after them", () => {
  assert.deepEqual(type("~", "\r~?~\u001a~."), { sent: "\r", actions: ["help", "suspend", "disconnect"] });
});

test("a ~ that waits for the next key is sent with it, and nothing else waits", () => {
  const keys = new EscapeKeys("~", () => undefined);
  assert.equal(keys.feed(Buffer.from("\r~")).toString(), "\r");
  assert.equal(keys.feed(Buffer.from("x")).toString(), "~x");
});

test("a ~ that waited goes first, also where one of the keys behind it is left out", () => {
  assert.deepEqual(type("~", "~", "x\r~~"), { sent: "~x\r~", actions: [] });
});

test("what is pasted is the guest's, whatever it holds and wherever it is cut", () => {
  const paste = "\u001b[200~line\r~.\r~?\u001b[201~";
  for (let cut = 0; cut <= paste.length; cut++) {
    assert.deepEqual(type("~", paste.slice(0, cut), paste.slice(cut)), { sent: paste, actions: [] });
  }
  assert.deepEqual(type("~", paste, "\r~.").actions, ["disconnect"]);
});

test("another key can be chosen, or none", () => {
  assert.deepEqual(type("^", "\r~.\r^."), { sent: "\r~.\r", actions: ["disconnect"] });
  assert.deepEqual(type(undefined, "\r~.\r~?"), { sent: "\r~.\r~?", actions: [] });
});

test("keys that are not UTF-8, and a large paste, arrive as they are", () => {
  const bytes = Buffer.from(
    Array.from({ length: 1_000_000 }, (_, index) => (index * 7) % 256).filter((byte) => byte !== 0x7e),
  );
  assert.deepEqual(new EscapeKeys("~", () => undefined).feed(bytes), bytes);
});
