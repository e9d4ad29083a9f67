import assert from "node:assert/strict";
import { test } from "node:test";
import { complete, type CompletableCommand } from "../../../../src/cli/completion/candidates.ts";
import { splitLine } from "../../../../src/cli/completion/split-line.ts";

function command(
  id: string,
  flags: CompletableCommand["flags"] = {},
  more: Partial<CompletableCommand> = {},
): CompletableCommand {
  return { id, aliases: [], flags, summary: `about ${id}`, ...more };
}

/** oclif lists a command under its alias once more, with everything it has. */
const CREATE_FLAGS: CompletableCommand["flags"] = {
  image: { type: "option" },
  memory: { type: "option", char: "m" },
  copy: { type: "option" },
  net: { type: "option", options: ["none", "balanced", "open"] },
  secret: { type: "option" },
  "net-file": { type: "option" },
  hook: { type: "option" },
  "ca-file": { type: "option" },
};

const COMMANDS = [
  command("exec", {
    tty: { type: "boolean", char: "t", summary: "terminal" },
    env: { type: "option", char: "e" },
    "env-file": { type: "option" },
  }),
  command("extend"),
  command("create", CREATE_FLAGS, { aliases: ["new"] }),
  command("new", CREATE_FLAGS, { aliases: ["new"] }),
  command("kill", {}, { aliases: ["rm", "remove"] }),
  command("logs", { source: { type: "option", options: ["console", "vm"] } }),
  command("copy"),
  command("inspect"),
  command("image:list"),
  command("image:remove"),
  command("config:set"),
  ...["net:show", "net:allow", "net:log", "net:presets", "secret:remove", "secret:rotate"].map((id) => command(id)),
  command("completion"),
  command("complete", {}, { hidden: true }),
  command("help"),
];

function values(...words: string[]): string[] {
  return complete(words, COMMANDS).candidates.map(({ value }) => value);
}

test("commands are completed with what they do; topics once; aliases only when nothing else fits", () => {
  assert.deepEqual(complete(["ex"], COMMANDS).candidates, [
    { value: "exec", description: "about exec" },
    { value: "extend", description: "about extend" },
  ]);
  assert.deepEqual(values("i"), ["image", "inspect"]);
  assert.deepEqual(values("image", ""), ["list", "remove"]);
  assert.deepEqual(values("new"), ["new"]);
  assert.deepEqual(values("rm"), ["rm"]);
  assert.deepEqual(values("comple"), ["completion"]);
  assert.ok(!values("").includes("new"));
});

test("options are completed by name, also after an alias of the command", () => {
  assert.deepEqual(values("exec", "--"), ["--tty", "--env", "--env-file"]);
  assert.deepEqual(values("new", "--m"), ["--memory"]);
});

test("values of options are completed where they are known", () => {
  assert.deepEqual(values("logs", "--source", ""), ["console", "vm"]);
  assert.deepEqual(values("logs", "--source=c"), ["--source=console"]);
  assert.equal(complete(["create", "--image", ""], COMMANDS).live, "images");
  assert.deepEqual(complete(["create", "--image=d"], COMMANDS).around, { before: "--image=", after: "" });
  assert.equal(complete(["create", "--copy", ""], COMMANDS).files, true);
  assert.equal(complete(["exec", "--env-file", "a"], COMMANDS).files, true);
  assert.deepEqual(complete(["exec", "-e", "x"], COMMANDS).live, undefined);
});

test("operands are sandboxes, images, settings or shells, as the command takes them", () => {
  assert.equal(complete(["exec", ""], COMMANDS).live, "running-sandboxes");
  assert.equal(complete(["exec", "-e", "A=1", "-t", "b"], COMMANDS).live, "running-sandboxes");
  assert.equal(complete(["exec", "box", ""], COMMANDS).live, undefined);
  assert.equal(complete(["rm", "a", "b", ""], COMMANDS).live, "running-sandboxes");
  assert.equal(complete(["inspect", ""], COMMANDS).live, "all-sandboxes");
  assert.equal(complete(["image", "remove", ""], COMMANDS).live, "images");
  assert.deepEqual(values("config", "set", "m"), ["memory"]);
  assert.deepEqual(values("config", "set", "accel", "t"), ["tcg"]);
  assert.deepEqual(values("completion", ""), ["bash", "zsh", "fish"]);
  assert.deepEqual(values("help", "image", "l"), ["list"]);
});

test("copy completes sandboxes with their colon, and files", () => {
  const { live, around, files, noSpace } = complete(["copy", "x", ""], COMMANDS);
  assert.deepEqual(
    { live, around, files, noSpace },
    { live: "running-sandboxes", around: { before: "", after: ":" }, files: true, noSpace: true },
  );
  assert.equal(complete(["copy", "box:/a"], COMMANDS).live, undefined);
});

test("the words of the guest's command are its own", () => {
  assert.deepEqual(complete(["exec", "box", "--", "--"], COMMANDS), { candidates: [], files: false, noSpace: false });
});

test("a line is split as a shell would, up to the cursor", () => {
  assert.deepEqual(splitLine("sbx exec bo"), ["sbx", "exec", "bo"]);
  assert.deepEqual(splitLine("sbx exec "), ["sbx", "exec", ""]);
  assert.deepEqual(splitLine(`sbx run 'a b' "c \\" d" e\\ f g`), ["sbx", "run", "a b", 'c " d', "e f", "g"]);
  assert.deepEqual(splitLine("cat x | sbx exec 'unfinished wo"), ["sbx", "exec", "unfinished wo"]);
  assert.deepEqual(splitLine(""), [""]);
});

test("commands about the network and secrets complete what they take", () => {
  assert.equal(complete(["net", "show", ""], COMMANDS).live, "running-sandboxes");
  assert.equal(complete(["net", "allow", "web", ""], COMMANDS).live, undefined);
  assert.equal(complete(["net", "log", ""], COMMANDS).live, "all-sandboxes");
  assert.deepEqual(values("net", "presets", "b"), ["balanced"]);
  assert.equal(complete(["secret", "remove", "A", ""], COMMANDS).live, "secrets");
  assert.equal(complete(["secret", "rotate", ""], COMMANDS).live, "secrets");
  assert.deepEqual(values("create", "--net", ""), ["none", "balanced", "open"]);
  assert.equal(complete(["create", "--secret", "A"], COMMANDS).live, "secrets");
  for (const name of ["net-file", "hook", "ca-file"]) assert.ok(complete(["create", `--${name}`, ""], COMMANDS).files);
});

test("copies of machines: sandboxes that run, and the names of checkpoints", () => {
  const commands = [
    ...["fork", "pause", "resume", "checkpoint:create", "checkpoint:inspect", "checkpoint:remove"].map((id) =>
      command(id),
    ),
    command("create", { checkpoint: { type: "option" } }),
  ];
  const live = (...words: string[]): string | undefined => complete(words, commands).live;
  assert.equal(live("fork", ""), "running-sandboxes");
  assert.equal(live("fork", "box", ""), undefined);
  assert.equal(live("resume", "box", ""), "running-sandboxes");
  assert.equal(live("checkpoint", "create", ""), "running-sandboxes");
  assert.equal(live("checkpoint", "create", "box", ""), undefined);
  assert.equal(live("checkpoint", "inspect", ""), "checkpoints");
  assert.equal(live("checkpoint", "remove", "warm", ""), "checkpoints");
  assert.equal(live("create", "--checkpoint", ""), "checkpoints");
  assert.equal(live("create", "--checkpoint=w"), "checkpoints");
});
