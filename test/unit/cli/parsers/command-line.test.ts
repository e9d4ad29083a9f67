import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { splitCommandLine, toGuestArgv, type CommandLineShape } from "../../../../src/cli/parsers/command-line.ts";

const SHAPE: CommandLineShape = {
  program: "sbx exec",
  operands: 1,
  options: {
    tty: { type: "boolean", char: "t" },
    quiet: { type: "boolean", char: "q" },
    env: { type: "option", char: "e" },
    cwd: { type: "option", char: "w", aliases: ["workdir"] },
  },
};

test("options, operands and the command come apart, wherever the options are before it", () => {
  assert.deepEqual(splitCommandLine(["-t", "box", "--env", "A=1", "--", "ls", "-t"], SHAPE), {
    own: ["-t", "--env", "A=1"],
    operands: ["box"],
    command: ["ls", "-t"],
  });
});

test("the value of an option is never taken for an operand", () => {
  for (const own of [
    ["-e", "x"],
    ["--env", "x"],
    ["--env=x"],
    ["-ex"],
    ["-te", "x"],
    ["--workdir", "x"],
    ["-qtw", "x"],
  ]) {
    assert.deepEqual(
      splitCommandLine([...own, "box", "cmd"], SHAPE),
      { own, operands: ["box"], command: ["cmd"] },
      own.join(" "),
    );
  }
});

test("-- may come before the operands, too", () => {
  assert.deepEqual(splitCommandLine(["--", "box", "ls", "--"], SHAPE), {
    own: [],
    operands: ["box"],
    command: ["ls", "--"],
  });
});

test("words without -- are a command if nothing in it could be an option", () => {
  assert.deepEqual(splitCommandLine(["box", "ls", "/", "-"], SHAPE).command, ["ls", "/", "-"]);
});

test("an option after the command without -- is refused, with the line that works as hint", () => {
  assert.throws(() => splitCommandLine(["-w", "/a b", "box", "ls", "-la"], SHAPE), {
    code: "usage",
    exitCode: 2,
    hint: "sbx exec -w '/a b' box -- ls -la",
  });
  assert.throws(() => splitCommandLine(["box", "ls", "-t"], SHAPE), { hint: "sbx exec box -- ls -t" });
  assert.throws(() => splitCommandLine(["box", "ls", "--", "x"], SHAPE), { hint: "sbx exec box -- ls x" });
});

test("whatever follows -- comes out as it went in", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), (command) => {
      assert.deepEqual(splitCommandLine(["-q", "box", "--", ...command], SHAPE).command, command);
    }),
  );
});

test("no words are lost or made up, whatever the line", () => {
  const word = fc.oneof(fc.string(), fc.constantFrom("--", "-", "-t", "-e", "--env", "--env=1", "box", "-te"));
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      try {
        const { own, operands, command } = splitCommandLine(argv, SHAPE);
        const end = argv.indexOf("--");
        const expected = end === -1 ? argv : argv.filter((_, index) => index !== end);
        // An option may have taken "--" as its value; then it is among the words.
        const all = [...own, ...operands, ...command].sort();
        assert.ok(all.length === expected.length || all.length === argv.length);
        for (const part of all) assert.ok(argv.includes(part));
      } catch (error) {
        assert.equal((error as { code?: string }).code, "usage");
      }
    }),
  );
});

test("one word with shell syntax is for bash, several words never are", () => {
  assert.deepEqual(toGuestArgv(["ls | wc"]), ["bash", "-c", "ls | wc"]);
  assert.deepEqual(toGuestArgv(["a;b"]), ["bash", "-c", "a;b"]);
  assert.deepEqual(toGuestArgv(["ls"]), ["ls"]);
  assert.deepEqual(toGuestArgv(["/opt/my-tool_1.2+x"]), ["/opt/my-tool_1.2+x"]);
  assert.deepEqual(toGuestArgv(["ls | wc", "x y"]), ["ls | wc", "x y"]);
  assert.deepEqual(toGuestArgv([""]), [""]);
});
