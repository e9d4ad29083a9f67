/** `sbx code`: which VS Code is opened, what is printed, and what others on the machine see of it. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Code from "../../../../src/commands/code.ts";
import {
  desktopArguments,
  findDesktopEditor,
  openDesktopEditor,
  requireSshConfig,
} from "../../../../src/cli/editor/desktop.ts";
import { leadingPage, openPage } from "../../../../src/cli/editor/open-page.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand, type RunResult } from "../run-command.ts";

const ID = "sbx_loc_00000000000000000009";
const URL_OF_WEB = "http://web-k3v2.localhost:4000/?tkn=t0ken&folder=/home/app";

let scratch = "";
beforeEach(() => {
  scratch = mkdtempSync(path.join(tmpdir(), "sbx-code-test-"));
  mkdirSync(path.join(scratch, "bin"));
});
afterEach(() => rmSync(scratch, { recursive: true }));

/** A program that writes its arguments to a file. */
function program(name: string, status = 0): string {
  const file = path.join(scratch, "bin", name);
  const record = path.join(scratch, `${name}.args`);
  writeFileSync(
    file,
    `#!/bin/sh\nprintf '%s\\n' "$@" > '${record}.new'\n/bin/mv '${record}.new' '${record}'\nexit ${status}\n`,
  );
  chmodSync(file, 0o755);
  return record;
}

async function code(argv: string[], env: Record<string, string> = {}, tty = {}): Promise<RunResult> {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ id: ID, name: "web" })];
  runtime.ssh.directoryPath = scratch;
  const paths = { PATH: path.join(scratch, "bin"), HOME: scratch, XDG_RUNTIME_DIR: scratch };
  return runCommand(Code, "code", argv, { runtime, env: { ...paths, ...env }, tty });
}

async function untilThere(file: string): Promise<string> {
  for (let count = 0; count < 2000 && !existsSync(file); count++) await sleep(5);
  return readFileSync(file, "utf8");
}

test("without VS Code on the machine its page's URL is printed, and nothing else", async () => {
  const { status, stdout, runtime } = await code(["web"]);
  assert.equal(status, 0);
  assert.equal(stdout, `${URL_OF_WEB}\n`);
  assert.deepEqual(runtime.calls, [{ method: "editor.open", args: ["web", "/home/app"] }]);
});

test("--json tells what a program needs; the folder is passed on", async () => {
  const { stdout } = await code(["web", "/app", "--json"]);
  assert.deepEqual(JSON.parse(stdout), {
    ...{ where: "browser", url: "http://web-k3v2.localhost:4000/?tkn=t0ken&folder=/app" },
    ...{ folder: "/app", guestPort: 40_000, isNew: true },
  });
});

test("a folder that is not absolute is a mistake in the command line", async () => {
  const { status, stderr, runtime } = await code(["web", "project"]);
  assert.equal(status, 2);
  assert.match(stderr, /"project" is not a folder of the sandbox/);
  assert.deepEqual(runtime.calls, []);
});

test("VS Code on the machine is taken first, with the sandbox's whole name; --web passes it over", async () => {
  program("code");
  const { stdout } = await code(["web", "--web"]);
  assert.equal(stdout, `${URL_OF_WEB}\n`);
  assert.equal(findDesktopEditor({ PATH: `relative:${path.join(scratch, "bin")}` }), path.join(scratch, "bin", "code"));
  assert.equal(findDesktopEditor({ PATH: scratch }), undefined);
  assert.deepEqual(desktopArguments("web", "/app"), ["--remote", "ssh-remote+web.sbx", "/app"]);
});

test("where ssh does not know sandboxes by name VS Code is not opened, and what to run is said", async () => {
  const { ssh } = new FakeRuntime();
  ssh.directoryPath = scratch;
  const userPath = path.join(scratch, "user-config");
  const refusal = {
    code: "config_invalid",
    message: `VS Code on the desktop reaches sandboxes by ssh, and ${userPath} does not name them`,
    hint: "sbx ssh-config, once; or VS Code in the browser: sbx code web --web",
  };
  await assert.rejects(requireSshConfig(ssh, {}, "web", userPath), refusal);
  writeFileSync(userPath, `Include "${path.join(scratch, "config")}"\n`);
  await requireSshConfig(ssh, {}, "web", userPath);
});

test("VS Code on the machine gets its arguments one by one; that it refuses is said", async () => {
  const record = program("code");
  const file = path.join(scratch, "bin", "code");
  await openDesktopEditor(file, ["--remote", "ssh-remote+web.sbx", "/a b"], {});
  assert.equal(readFileSync(record, "utf8"), "--remote\nssh-remote+web.sbx\n/a b\n");
  program("code", 3);
  await assert.rejects(openDesktopEditor(file, [], {}), /ended with status 3/);
});

test("the browser is opened for a person at a desktop, or when asked; its arguments do not have the token", async () => {
  const record = program("xdg-open");
  const person = { stdin: true, stdout: true, stderr: true };
  await code(["web"], { DISPLAY: ":0" });
  await code(["web"], {}, person);
  await code(["web"], { DISPLAY: ":0", SSH_CONNECTION: "a 1 b 2" }, person);
  await code(["web", "--no-open"], { DISPLAY: ":0" }, person);
  assert.equal(existsSync(record), false);

  await code(["web"], { DISPLAY: ":0" }, person);
  const [file = ""] = (await untilThere(record)).split("\n");
  assert.equal(file, path.join(scratch, "sbx-open.html"));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match(readFileSync(file, "utf8"), /tkn=t0ken/);
  rmSync(record);
  await code(["web", "--open", "--json"]);
  await untilThere(record);
});

test("without a directory of the session one of the user's own has the page, however often, and nobody else's", async (t) => {
  const record = program("xdg-open");
  const { TMPDIR } = process.env;
  process.env.TMPDIR = scratch;
  t.after(() => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
  });
  const opened = async (): Promise<string> => {
    rmSync(record, { force: true });
    assert.equal(await openPage("http://h/?tkn=t0ken", { PATH: path.join(scratch, "bin") }), true);
    const [file = ""] = (await untilThere(record)).split("\n");
    return path.dirname(file);
  };
  const first = await opened();
  assert.equal(statSync(first).mode & 0o777, 0o700);
  assert.equal(await opened(), first);
  rmSync(first, { recursive: true });
  symlinkSync("/tmp", first);
  const other = await opened();
  assert.notEqual(other, first);
  assert.equal(lstatSync(other).isDirectory() && statSync(other).mode & 0o777, 0o700);
});

test("where nothing opens a browser the URL is printed all the same", async () => {
  const { status, stdout, stderr } = await code(["web", "--open"]);
  assert.equal(status, 0);
  assert.equal(stdout, `${URL_OF_WEB}\n`);
  assert.match(stderr, /no program that opens a browser/);
});

test("an address is text in the page that leads to it, and is not told to others", () => {
  const page = leadingPage('http://h/?a=1&b="><script>');
  assert.match(page, /content="0;url=http:\/\/h\/\?a=1&amp;b=&quot;>&lt;script>"/);
  assert.match(page, /<meta name="referrer" content="no-referrer">/);
});

test("--stop says whether it ran", async () => {
  assert.deepEqual(JSON.parse((await code(["web", "--stop", "--json"])).stdout), { stopped: false });
  assert.match((await code(["web", "--stop"])).stderr, /VS Code does not run in web/);
  assert.equal((await code(["web", "--stop", "--web"])).status, 2);
});
