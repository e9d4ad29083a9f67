import assert from "node:assert/strict";
import { test } from "node:test";
import { exitStatusFor, signalStatus } from "../../../../src/cli/errors/exit-status.ts";
import { reportFailure, type FailureContext } from "../../../../src/cli/errors/funnel.ts";
import { renderError } from "../../../../src/cli/errors/render.ts";
import { editDistance, findClosest } from "../../../../src/cli/errors/suggest.ts";
import { unknownCommand } from "../../../../src/cli/errors/unknown-command.ts";
import { forEachOf } from "../../../../src/cli/for-each.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";

const COMMANDS = [
  "create",
  "new",
  "exec",
  "extend",
  "list",
  "ls",
  "inspect",
  "image list",
  "image remove",
  "config list",
];

async function report(
  error: unknown,
  overrides: Partial<FailureContext> = {},
): Promise<{ status: number; text: string }> {
  let text = "";
  const status = await reportFailure(error, {
    names: { program: "sbx exec", options: ["memory", "tty", "no-stdin"] },
    json: false,
    phase: "plain",
    interruptedBy: undefined,
    env: {},
    stderr: { write: (part) => (text += part) },
    ...overrides,
  });
  return { status, text };
}

test("a mistyped word is met with the nearest known one, and nonsense with none", () => {
  assert.equal(editDistance("exec", "exce"), 1);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(findClosest("exce", COMMANDS), "exec");
  assert.equal(findClosest("creat", COMMANDS), "create");
  assert.equal(findClosest("LIST", COMMANDS), "list");
  assert.equal(findClosest("insp", COMMANDS), "inspect");
  assert.equal(findClosest("imagelist", COMMANDS), "image list");
  assert.equal(findClosest("zzzzzz", COMMANDS), undefined);
  assert.equal(findClosest("x".repeat(1000), COMMANDS), undefined);
  assert.equal(findClosest("", COMMANDS), undefined);
});

test("an unknown command has status 2 and says what was probably meant", () => {
  const { message, hint, exitCode } = unknownCommand(["lst"], COMMANDS);
  assert.deepEqual(
    { message, hint, exitCode },
    { message: '"lst" is not a command of sbx', hint: "did you mean: sbx list", exitCode: 2 },
  );
  assert.equal(unknownCommand(["image", "lits"], COMMANDS).hint, "did you mean: sbx image list");
  assert.equal(unknownCommand(["qqqqq"], COMMANDS).hint, "sbx help");
});

test("a command that takes no arguments says so", () => {
  assert.equal(unknownCommand(["list", "a"], COMMANDS).message, 'sbx list takes no such argument: "a"');
});

test("an error is what failed, why, and what to do next", () => {
  const text = renderError({ code: "qemu_missing", message: "no QEMU", causes: ["a", "a", "b"], hint: "sbx doctor" });
  assert.equal(text, "sbx: no QEMU\n  why: a\n  why: b\n  try: sbx doctor\n");
});

test("a cause that the message quotes already is not said twice", () => {
  const message = "starting 'x' failed in the sandbox: Permission denied";
  const text = renderError({ code: "guest_error", message, causes: ["Permission denied", "EACCES"] });
  assert.equal(text, `sbx: ${message}\n  why: EACCES\n`);
});

test("what a guest says cannot reach the terminal through an error", () => {
  const text = renderError({ code: "guest_error", message: "bad \u001b[2J", causes: ["\u202e"], hint: "x\u0007" });
  assert.equal(text, "sbx: bad \\e[2J\n  why: \\u202e\n  try: x\\x07\n");
});

test("before the guest's command runs a failure is 125; usage, 126, 127 and interruptions are themselves", () => {
  const failure = new SbxError("vm_start_failed", "x");
  assert.equal(exitStatusFor(failure, "before-guest-command", undefined), 125);
  assert.equal(exitStatusFor(failure, "guest-command-running", undefined), 1);
  assert.equal(exitStatusFor(failure, "plain", undefined), 1);
  assert.equal(exitStatusFor(new SbxError("config_invalid", "x"), "before-guest-command", undefined), 2);
  assert.equal(exitStatusFor(new SbxError("command_not_found", "x"), "before-guest-command", undefined), 127);
  assert.equal(exitStatusFor(new SbxError("aborted", "x"), "before-guest-command", "SIGTERM"), 143);
  assert.equal(signalStatus("SIGHUP"), 129);
});

test("anything thrown is reported, an unknown error with a way to learn more", async () => {
  const { status, text } = await report(new TypeError("x is not a function"));
  assert.equal(status, 1);
  assert.match(
    text,
    /^sbx: something went wrong inside sbx: x is not a function\n {2}try: run it again with SBX_DEBUG=1/,
  );
  assert.match((await report(new TypeError("x"), { env: { SBX_DEBUG: "1" } })).text, /\n {4}at /);
  assert.match((await report("just text")).text, /inside sbx: just text/);
});

test("an interruption says nothing", async () => {
  const interrupted = { interruptedBy: "SIGINT" as const };
  assert.deepEqual(await report(new SbxError("aborted", "stopped"), interrupted), { status: 130, text: "" });
  assert.deepEqual(await report(new DOMException("stopped", "AbortError"), interrupted), { status: 130, text: "" });
});

test("JSON errors are one line with code, message, hint and causes", async () => {
  const error = new SbxError("disk_full", "no space", { cause: new Error("ENOSPC"), hint: "sbx prune" });
  const { text } = await report(error, { json: true });
  assert.equal(text, '{"error":{"code":"disk_full","message":"no space","hint":"sbx prune","causes":["ENOSPC"]}}\n');
});

test("oclif's own errors become usage errors in sbx's words", async () => {
  const oclif = (message: string, more: object = {}): Error =>
    Object.assign(new Error(message), { oclif: { exit: 2 } }, more);
  assert.deepEqual(
    await report(oclif("Nonexistent flag: --memroy\nSee more help with --help", { flags: ["--memroy"] })),
    {
      status: 2,
      text: "sbx: sbx exec has no option --memroy\n  try: did you mean: --memory\n",
    },
  );
  assert.equal(
    (await report(oclif("Missing 1 required arg:\nx", { args: [{ name: "sandbox" }] }))).text,
    "sbx: sbx exec: missing SANDBOX\n  try: sbx exec --help\n",
  );
  assert.deepEqual(await report(oclif("EEXIT: 3", { code: "EEXIT", oclif: { exit: 3 } })), { status: 3, text: "" });
});

test("of several things one failure does not keep the others from being tried", async () => {
  const outcome = await forEachOf(["a", "b", "c"], async (item) => {
    if (item !== "c") throw new SbxError("sandbox_not_found", `no ${item}`, { hint: "sbx list" });
    return item;
  });
  assert.deepEqual(outcome.results, ["c"]);
  assert.throws(() => outcome.throwFailures("sandboxes"), {
    code: "sandbox_not_found",
    message: "2 of 3 sandboxes failed\na: no a\nb: no b",
    hint: "sbx list",
  });
});
