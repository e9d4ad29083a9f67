/** What a guest leaves on in the terminal is turned off, and nothing else is touched. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModeTracker } from "../../../../src/cli/terminal/mode-tracker.ts";
import { ScreenGuard } from "../../../../src/cli/terminal/screen-guard.ts";

const ESC = "\u001b";
const ST = `${ESC}\\`;

function resetAfter(text: string): string {
  const tracker = new ModeTracker();
  new ScreenGuard(tracker).pass(Buffer.from(text));
  return tracker.takeReset();
}

const LEFT_ON: [what: string, text: string, reset: string][] = [
  ["the alternate screen", `${ESC}[?1049h`, `${ESC}[?1049l`],
  ["the older alternate screens", `${ESC}[?47h${ESC}[?1047h`, `${ESC}[?47l${ESC}[?1047l`],
  ["mouse reports", `${ESC}[?1000;1002;1006h`, `${ESC}[?1000l${ESC}[?1002l${ESC}[?1006l`],
  ["focus reports", `${ESC}[?1004h`, `${ESC}[?1004l`],
  ["bracketed paste", `${ESC}[?2004h`, `${ESC}[?2004l`],
  ["a hidden cursor", `${ESC}[?25l`, `${ESC}[?25h`],
  ["no line wrap", `${ESC}[?7l`, `${ESC}[?7h`],
  ["the keypad and the cursor keys", `${ESC}=${ESC}[?1h`, `${ESC}[?1l${ESC}>`],
  ["output that is held back", `${ESC}[?2026h`, `${ESC}[?2026l`],
  ["insert mode, a locked keyboard", `${ESC}[4h${ESC}[2h`, `${ESC}[4l${ESC}[2l`],
  ["a scroll region", `${ESC}[5;10r`, `${ESC}7${ESC}[r${ESC}8`],
  ["the form of the cursor", `${ESC}[5 q`, `${ESC}[0 q`],
  ["line drawing", `${ESC}(0`, `${ESC}(B\u000f`],
  ["another place's character set", `${ESC}/A${ESC}o`, `${ESC}(B\u000f`],
  ["the other character set", "\u000e", `${ESC}(B\u000f`],
  ["colours of text", `${ESC}[1;31mred`, `${ESC}[0m`],
  ["colours of the terminal", `${ESC}]11;#000000${ST}${ESC}]4;1;red${ST}`, `${ESC}]111${ST}${ESC}]104${ST}`],
  ["a hyperlink", `${ESC}]8;id=1;https://x.example/${ST}`, `${ESC}]8;;${ST}`],
  ["reports of more keys", `${ESC}[>4;2m`, `${ESC}[>4m`],
  ["modes of the keyboard, pushed twice", `${ESC}[>1u${ESC}[>3u`, `${ESC}[<2u`],
  ["modes of the keyboard on either screen", `${ESC}[>1u${ESC}[?1049h${ESC}[>1u`, `${ESC}[<1u${ESC}[?1049l${ESC}[<1u`],
  ["a mode that was restored from before", `${ESC}[?2004r`, `${ESC}[?2004l`],
  ["a mode in the 8-bit form", "\u009b?2004h", `${ESC}[?2004l`],
];

for (const [what, text, reset] of LEFT_ON) {
  test(`what was left on is turned off: ${what}`, () => assert.equal(resetAfter(text), reset));
}

const LEFT_RIGHT: [what: string, text: string][] = [
  ["nothing was written", ""],
  ["a shell's prompts", `${ESC}[?2004h${ESC}[01;32mapp${ESC}[00m$ ls\r\n${ESC}[?2004l\rfile\r\n`],
  [
    "an editor that ended",
    `${ESC}[?1049h${ESC}[?1h${ESC}=${ESC}[?25l${ESC}[1;30r${ESC}[r${ESC}[?1l${ESC}>${ESC}[?25h${ESC}[?1049l`,
  ],
  ["everything was reset", `${ESC}[?1049h${ESC}[?25l${ESC}[31m${ESC}(0${ESC}]11;red${ST}${ESC}c`],
  ["colours were asked for, not set", `${ESC}]11;?${ST}${ESC}]10;?\u0007`],
  ["the keyboard's modes were popped", `${ESC}[>1u${ESC}[<u`],
  ["modes that nobody knows", `${ESC}[?9999h${ESC}[99h`],
  ["a sequence that was cut off", `${ESC}[?1049`],
];

for (const [what, text] of LEFT_RIGHT) {
  test(`nothing is written at the end if ${what}`, () => assert.equal(resetAfter(text), ""));
}

test("what is forbidden is not tracked either: it never reached the terminal", () => {
  assert.equal(resetAfter(`${ESC}[?1049;38h`), "");
});

test("a program that was suspended finds the terminal as it left it", () => {
  const tracker = new ModeTracker();
  const modes = `${ESC}[?1049h${ESC}[?1006h${ESC}[?25l${ESC}=`;
  new ScreenGuard(tracker).pass(Buffer.from(modes));
  assert.equal(tracker.reset, `${ESC}[?1006l${ESC}[?1049l${ESC}[?25h${ESC}>`);
  assert.equal(tracker.restoration, modes);
  assert.equal(tracker.takeReset(), `${ESC}[?1006l${ESC}[?1049l${ESC}[?25h${ESC}>`);
});

test("a reset is taken once", () => {
  const tracker = new ModeTracker();
  new ScreenGuard(tracker).pass(Buffer.from(`${ESC}[?1049h`));
  tracker.takeReset();
  assert.equal(tracker.takeReset(), "");
});

test("the reset is small, whatever the guest does", () => {
  const everything = Array.from(
    { length: 20_000 },
    (_, mode) =>
      `${ESC}[?${mode}h${ESC}[?${mode}l${ESC}[?${mode}s${ESC}[?${mode}r${ESC}[${mode}h${ESC}[>${mode}u${ESC}]${mode};x${ST}`,
  );
  assert.ok(resetAfter(everything.join("")).length < 1000);
});
