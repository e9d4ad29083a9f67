/**
 * What a guest may do to the user's terminal. Sequences are named as xterm's "Control Sequences" and ECMA-48 have them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ModeTracker } from "../../../../src/cli/terminal/mode-tracker.ts";
import { ScreenGuard } from "../../../../src/cli/terminal/screen-guard.ts";

const ESC = "\u001b";
const ST = `${ESC}\\`;

function shown(text: string | Buffer, cuts: readonly number[] = []): string {
  return shownBytes(Buffer.from(text), cuts).toString();
}

function shownBytes(bytes: Buffer, cuts: readonly number[] = []): Buffer {
  const guard = new ScreenGuard(new ModeTracker());
  const edges = [0, ...cuts, bytes.length];
  const parts = edges.slice(1).map((end, index) => guard.pass(bytes.subarray(edges[index], end)));
  return Buffer.concat(parts);
}

const HARMLESS: Record<string, string> = {
  "plain text with every printable character": "".concat(
    ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)),
  ),
  "line ends, tabs, backspace, bell": "a\r\nb\tc\b\u0007",
  "characters of all widths": "é Ü ñ 漢字 👩‍💻 \u00a0\u0300",
  "colours: 16, 256, true": `${ESC}[31m${ESC}[38;5;208m${ESC}[38;2;1;2;3m${ESC}[4:3m${ESC}[0m`,
  "the cursor": `${ESC}[2J${ESC}[H${ESC}[10;20f${ESC}[?25l${ESC}[?25h${ESC}[2 q${ESC}7${ESC}8${ESC}[s${ESC}[u`,
  "the alternate screen, mouse reports, bracketed paste": `${ESC}[?1049h${ESC}[?1000;1006h${ESC}[?2004h${ESC}[?1049l`,
  "what a program must ask for": `${ESC}[c${ESC}[>c${ESC}[6n${ESC}[?2026$p${ESC}[>0q${ESC}[?u${ESC}]11;?${ST}`,
  "sizes of the window, and the stack of titles": `${ESC}[14t${ESC}[16t${ESC}[18t${ESC}[22;0t${ESC}[23;0t`,
  titles: `${ESC}]0;name – Ä${ST}${ESC}]2;other\u0007${ESC}kscreen${ST}`,
  "hyperlinks, colours, prompts": `${ESC}]8;;https://x.example/${ST}x${ESC}]8;;${ST}${ESC}]10;#fff${ST}${ESC}]133;A${ST}`,
  "a message, progress": `${ESC}]9;done: 3 of 3${ST}${ESC}]9;4;1;50\u0007`,
  "keys of the keyboard protocol": `${ESC}[>1u${ESC}[<u${ESC}[=0;1u${ESC}[>4;2m`,
  "character sets and the keypad": `${ESC}(0${ESC}(B${ESC}=${ESC}>${ESC}%G`,
  "a reset": `${ESC}c${ESC}[!p`,
  "a picture": `${ESC}P0;1;q"1;1;10;10#0;2;0;0;0~-${ST}`,
  "8-bit controls that only move": "\u0085\u008d",
};

for (const [what, text] of Object.entries(HARMLESS)) {
  test(`passes untouched, wherever it is cut: ${what}`, () => {
    assert.equal(shown(text), text);
    const { length } = Buffer.from(text);
    for (let cut = 1; cut < length; cut++) assert.equal(shown(text, [cut]), text);
    const everywhere = Array.from({ length: length - 1 }, (_, index) => index + 1);
    assert.equal(shown(text, everywhere), text);
  });
}

const HARMFUL: Record<string, string> = {
  "the clipboard: written": `${ESC}]52;c;ZWNobw==${ST}`,
  "the clipboard: read": `${ESC}]52;c;?\u0007`,
  "the clipboard, kitty's": `${ESC}]5522;type=write${ST}`,
  "iTerm2: a file into the downloads": `${ESC}]1337;File=name=eA==:eA==\u0007`,
  "kitty: files of this machine": `${ESC}]5113;ac=send${ST}${ESC}_Gt=f,a=T;L2V0Yy9wYXNzd2Q=${ST}`,
  "the title, typed": `${ESC}[21t${ESC}[20t`,
  "the title, typed: with zeros and further parameters": `${ESC}[0021t${ESC}[21;1t`,
  "how titles are typed": `${ESC}[>0t${ESC}[>1T`,
  "the window: moved, made small, resized": `${ESC}[3;0;0t${ESC}[2t${ESC}[8;1;1t${ESC}[30t`,
  "the font's name, typed": `${ESC}]50;?${ST}`,
  "settings, typed": `${ESC}P$q"p${ST}${ESC}P+q544e${ST}`,
  "keys that type what the guest wants": `${ESC}P0;1|17/6c730a${ST}`,
  "a macro": `${ESC}P1;0;0!z414243${ST}${ESC}[1*z`,
  "what is on the screen": `${ESC}[1;1;1;1;10;10*y`,
  "the printer": `${ESC}[5i${ESC}[?5i${ESC}[i`,
  "the answerback": "\u0005",
  "VT52, in which sequences mean something else": `${ESC}[?2l${ESC}[?7;2l`,
  Tektronix: `${ESC}[?38h`,
  "another character set, in which a byte is a control": `${ESC}%@`,
  "8-bit answers": `${ESC} G${ESC}[61"p`,
  "a way through tmux": `${ESC}Ptmux;${ESC}${ESC}]52;c;eA==\u0007${ST}`,
  "privacy messages, start of string": `${ESC}^x${ST}${ESC}Xx${ST}`,
  "8-bit controls that begin something": `\u009b21t\u009d52;c;eA==\u009c\u0090$qm\u009c\u009fGx\u009c`,
  "a command that no terminal knows": `${ESC}]777777;x${ST}${ESC}]x${ST}`,
  "ConEmu: a program, a macro, a variable, typed": `${ESC}]9;7;calc${ST}${ESC}]9;6;x()${ST}${ESC}]9;8;PATH${ST}${ESC}]9;07;x${ST}`,
  "the window, resized in DEC's ways": `${ESC}[132$|${ESC}[10*|${ESC}[?40h${ESC}[?25;40h`,
  "the status line, for all that follows": `${ESC}[1$}`,
  "a key's name, of which terminals disagree where it ends": `${ESC}[[`,
  "Linux's console: another one in front, a long bell": `${ESC}[12;2]${ESC}[11;2000]`,
  "a title with controls": `${ESC}]0;a\nb${ST}`,
  "a title that only some take to be over": `${ESC}]0;a\u009bb${ST}`,
};

for (const [what, text] of Object.entries(HARMFUL)) {
  test(`does not reach the terminal, wherever it is cut: ${what}`, () => {
    const complete = `<${text}>`;
    const { length } = Buffer.from(complete);
    for (let cut = 1; cut < length; cut++) {
      // What remains of a sequence in a sequence may be text, but it begins nothing.
      const left = shown(complete, [cut]);
      assert.match(left, /^<[ -~]*>$/);
      assert.equal(left, shown(complete));
    }
  });
}

test("bytes that some decoder might take for a control are shown as what they are: no text", () => {
  const cases = [[0x9b], [0xc0, 0x9b], [0xc1, 0x9b], [0xe0, 0x80, 0x9b], [0xf0, 0x80, 0x80, 0x9b], [0xe2, 0x28, 0x9b]];
  for (const bytes of cases) {
    const left = shownBytes(Buffer.from([...bytes, 0x32, 0x31, 0x74]));
    assert.equal(left.subarray(0, -3).includes(0x9b), false, bytes.join());
  }
});

test("a sequence is not put together from two streams on one terminal", () => {
  const tracker = new ModeTracker();
  const [out, err] = [new ScreenGuard(tracker), new ScreenGuard(tracker)];
  for (const half of [Buffer.from(ESC), Buffer.from([0xc2]), Buffer.from(`${ESC}[2`), Buffer.from(`${ESC}]5`)]) {
    assert.equal(out.pass(half).length, 0);
    assert.doesNotMatch(err.pass(Buffer.from("[21t")).toString(), /\u001b/);
    assert.doesNotMatch(err.pass(Buffer.from([0x9b])).toString("latin1"), /\u009b/);
    out.pass(Buffer.from("x"));
  }
});

test("an endless sequence holds no memory, and what comes after it is shown", () => {
  for (const begin of [`${ESC}]0;`, `${ESC}P$q`, `${ESC}_`, `${ESC}[`, "\u009d0;"]) {
    const guard = new ScreenGuard(new ModeTracker());
    guard.pass(Buffer.from(begin));
    let shownBytes = 0;
    for (let round = 0; round < 1000; round++) shownBytes += guard.pass(Buffer.alloc(1000, "1")).length;
    assert.ok(begin.endsWith("[") || shownBytes === 0);
    const end = guard.pass(Buffer.from(`${ST}after`)).toString();
    assert.match(end, /after$/);
  }
});

test("a long picture passes piece by piece, and nothing else within it", () => {
  const picture = `${ESC}Pq${"#0~".repeat(5000)}${ST}`;
  const cuts = [1, 2, 3, 4000, 4095, 4096, 4097, 4098, 9000, picture.length - 1];
  assert.equal(shown(picture, cuts), picture);
  const withMore = `${ESC}Pq${"#0~".repeat(5000)}\u0007\u009b21t${ST}x`;
  assert.match(shown(withMore), /^\u001bPq(?:#0~)+21t\u001b\\x$/);
});

test("a picture that breaks off leaves the terminal to be told so", () => {
  const guard = new ScreenGuard(new ModeTracker());
  guard.pass(Buffer.from(`${ESC}Pq${"#0~".repeat(5000)}`));
  assert.equal(guard.isUnfinished, true);
  assert.match(guard.pass(Buffer.from(`${ESC}[0m`)).toString(), /^\u001b\\\u001b\[0m$/);
  assert.equal(guard.isUnfinished, false);
});

/** The terminal of a test that trusts nothing: finds every sequence that is there, and has it begin with ESC. */
function sequences(bytes: Buffer): string[] {
  const forms =
    /(?:\u001b\[|\u009b)[\d;:<=>?]*[ -/]*[@-~]?|(?:\u001b[\]P_^X]|[\u009d\u0090\u009f\u009e\u0098])[^\u0007\u001b]*/g;
  const found = bytes.toString().match(forms) ?? [];
  return found.map((text) =>
    text.replace(/^[\u0080-\u009f]/, (c) => ESC + String.fromCharCode(c.charCodeAt(0) - 0x40)),
  );
}

test("fuzz: whatever comes, cut anywhere, shows the same and nothing that is forbidden", () => {
  const random = generator(20_261_128);
  const pieces = [
    ...Object.values(HARMFUL),
    ...Object.values(HARMLESS),
    ESC,
    "\u009b",
    "\u00c2",
    "52;c;",
    "21t",
    "\u0018",
  ];
  for (let round = 0; round < 4000; round++) {
    const parts = Array.from({ length: 1 + random(8) }, () => {
      const piece = Buffer.from(pieces[random(pieces.length)] ?? "");
      const from = random(3) === 0 ? random(piece.length + 1) : 0;
      const bytes = Buffer.from(piece.subarray(from, random(3) === 0 ? from + random(piece.length + 1) : undefined));
      if (bytes.length > 0 && random(4) === 0) bytes[random(bytes.length)] = random(256);
      return bytes;
    });
    const bytes = Buffer.concat(parts);
    const whole = shownBytes(bytes);
    const cuts = Array.from({ length: 1 + random(6) }, () => random(bytes.length + 1)).sort((a, b) => a - b);
    assert.deepEqual(shownBytes(bytes, cuts), whole, JSON.stringify(bytes.toString("latin1")));
    for (const sequence of sequences(whole)) {
      assert.doesNotMatch(
        sequence,
        /^\u001b(?:\]\s*(?:52|50|1337|5113|5522)\b|\[0*2[01](?:;\d*)*t$|\[.*(?:[^!-/]\*y|i|[[\]])$|[_^X]|P[^q]*\$q)/,
      );
    }
    assert.equal(whole.includes(5), false);
    // What was shown is shown again: it is a form that nothing is left to be taken out of.
    assert.deepEqual(shownBytes(whole), whole, JSON.stringify(bytes.toString("latin1")));
  }
});

/** A small generator of numbers (mulberry32), the same in each run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
