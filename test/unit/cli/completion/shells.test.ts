import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import Complete from "../../../../src/commands/complete.ts";
import Completion from "../../../../src/commands/completion.ts";
import { COMPLETION_SCRIPTS } from "../../../../src/cli/completion/scripts.ts";
import { FakeRuntime, sandboxInfo, secretInfo } from "../../../fake-runtime.ts";
import { runCommand } from "../run-command.ts";

const directory = mkdtempSync(join(tmpdir(), "sbx-completion-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** A program called sbx that answers what it is told to, and notes what it was asked. */
function answer(...lines: string[]): void {
  const path = join(directory, "sbx");
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$@" > ${directory}/asked\nprintf '%b\\n' '${lines.join("' '")}'\n`);
  chmodSync(path, 0o755);
}

/** What bash would offer for a line, with the cursor at its end. */
function bashReply(line: string): string[] {
  const words = line.split(/\s+|(?<=[=:])|(?=[=:])/);
  const script = `
    ${COMPLETION_SCRIPTS.bash}
    COMP_LINE=$1 COMP_POINT=\${#1} COMP_CWORD=$2
    shift 2
    COMP_WORDS=("$@")
    compopt() { :; }
    _sbx
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const output = execFileSync("bash", ["--norc", "-c", script, "bash", line, String(words.length - 1), ...words], {
    cwd: directory,
    env: { PATH: `${directory}:${process.env.PATH ?? ""}` },
    encoding: "utf8",
  });
  return output.split("\n").filter((text) => text !== "");
}

test("each script is printed as it is", async () => {
  for (const shell of ["bash", "zsh", "fish"] as const) {
    assert.equal((await runCommand(Completion, "completion", [shell])).stdout, COMPLETION_SCRIPTS[shell]);
  }
  assert.equal((await runCommand(Completion, "completion", ["tcsh"])).status, 2);
});

test("bash gets the words, without their descriptions", () => {
  answer("exec\\tRun a command", "extend\\tLive longer");
  assert.deepEqual(bashReply("sbx ex"), ["exec", "extend"]);
});

test("bash gets only what follows the last : or =, where it breaks words", () => {
  answer("--image=data");
  assert.deepEqual(bashReply("sbx create --image=da"), ["data"]);
});

test("bash gets files where they fit as well", () => {
  answer("box:", ":files", ":nospace");
  writeFileSync(join(directory, "boxes.txt"), "");
  assert.deepEqual(bashReply("sbx copy box"), ["box:", "boxes.txt"]);
});

test("the script for bash is accepted by bash without a word, and leaves no option set", () => {
  const { status, stderr } = spawnSync("bash", ["-n"], { input: COMPLETION_SCRIPTS.bash, encoding: "utf8" });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
});

test("live names are answered with what they are; those that stopped only where they make sense", async () => {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [
    sandboxInfo({ id: "sbx_loc_00000000000000000001", name: "web" }),
    sandboxInfo({ id: "sbx_loc_00000000000000000002", name: "old", status: "stopped" }),
    sandboxInfo({ id: "sbx_loc_00000000000000000003" }),
  ];
  // The table of commands is oclif's; in these tests it is empty, so the command is asked for what needs none.
  const result = await runCommand(Complete, "complete", ["--", "unknown", ""], { runtime });
  assert.equal(result.stdout, "");
  const { liveNames } = await import("../../../../src/cli/completion/live-names.ts");
  assert.deepEqual(await liveNames("running-sandboxes", "", runtime), [
    { value: "web", description: "running" },
    { value: "sbx_loc_00000000000000000003", description: "running" },
  ]);
  assert.deepEqual(
    (await liveNames("all-sandboxes", "o", runtime)).map(({ value }) => value),
    ["old"],
  );
  assert.deepEqual(
    (await liveNames("running-sandboxes", "sbx_", runtime)).map(({ value }) => value),
    ["sbx_loc_00000000000000000001", "sbx_loc_00000000000000000003"],
  );
  runtime.secretList = [secretInfo({ name: "A_KEY" }), secretInfo({ name: "B_KEY" })];
  assert.deepEqual(await liveNames("secrets", "B", runtime), [{ value: "B_KEY" }]);
  // A key might have to be unlocked, which a shell that completes must not ask for.
  assert.ok(!runtime.calls.some(({ method }) => method === "secrets.list"));
});

test("complete never fails and never says anything on stderr", async () => {
  const runtime = new FakeRuntime();
  runtime.failures.set("list", new Error("broken"));
  for (const argv of [["--line", "sbx exec "], ["--nonsense"], ["--", "\u001b"], []]) {
    const { status, stderr } = await runCommand(Complete, "complete", argv, { runtime });
    assert.deepEqual({ status, stderr }, { status: 0, stderr: "" });
  }
});

test("a shell that there is no script for is told which there are", async () => {
  const result = await runCommand(Completion, "completion", ["tcsh"]);
  assert.equal(result.status, 2);
  assert.equal(
    result.stderr,
    'sbx: sbx completion: "tcsh" is none of: bash, zsh, fish\n  try: sbx completion --help\n',
  );
});
