/** `--copy`, `--mount` and `sbx sync`: what they ask the runtime for, and what they say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import Create from "../../../../src/commands/create.ts";
import Inspect from "../../../../src/commands/inspect.ts";
import Run from "../../../../src/commands/run.ts";
import Sync from "../../../../src/commands/sync.ts";
import { parseFolderOperand } from "../../../../src/cli/parsers/folder-operand.ts";
import type { Change } from "../../../../src/runtime/folders.ts";
import type { SandboxSpec } from "../../../../src/runtime/types.ts";
import { FakeRuntime, sandboxInfo } from "../../../fake-runtime.ts";
import { runCommand, type RunOptions, type RunResult } from "../run-command.ts";

const TERMINAL = { stdin: true, stdout: true, stderr: true };

async function create(...argv: string[]): Promise<RunResult> {
  return runCommand(Create, "create", [...argv, "--", "true"]);
}

function specOf(result: RunResult): SandboxSpec | undefined {
  return result.runtime.calls.find(({ method }) => method === "create")?.args[0] as SandboxSpec | undefined;
}

async function sync(argv: string[], runtime: FakeRuntime, options: RunOptions = {}): Promise<RunResult> {
  return runCommand(Sync, "sync", argv, { runtime, ...options });
}

function withSandbox(changes: Partial<Change>[] = []): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.sandboxes = [sandboxInfo({ name: "web" })];
  runtime.folders.comparison.changes = changes.map((change) => ({
    ...{ kind: "changed", path: "file", entry: "file", size: 3, conflict: false, warnings: [] },
    ...change,
  }));
  return runtime;
}

test("an operand is divided at its last `:/`, and only :ro and :rw behind it are suffixes", () => {
  const cases: [string, string, string | null, string][] = [
    [".", ".", null, "copy"],
    ["./a:b", "./a:b", null, "copy"],
    ["./a:ro", "./a:ro", null, "copy"],
    ["dir:/path", "dir", "/path", "copy"],
    ["dir:/path:ro", "dir", "/path", "read-only"],
    ["dir:/path:rw", "dir", "/path", "read-write"],
    ["dir:/path:rx", "dir", "/path:rx", "copy"],
    ["a:/b:/c", "a:/b", "/c", "copy"],
    ["/abs/dir:/p q/", "/abs/dir", "/p q/", "copy"],
  ];
  for (const [text, hostPath, guestPath, access] of cases) {
    assert.deepEqual(parseFolderOperand(text), { hostPath, guestPath, access }, text);
  }
  for (const text of [":/path", "", "a\0b"]) assert.throws(() => parseFolderOperand(text), { code: "usage" }, text);
});

test("a copy goes into /app, to a path, or into one that ends with a slash", async () => {
  const result = await create("--copy", "shop", "--copy", "shop:/srv/shop", "--copy", "x:/srv/");
  assert.deepEqual(specOf(result)?.copies, [
    { hostPath: "/work/shop", guestPath: "/app", placement: "into" },
    { hostPath: "/work/shop", guestPath: "/srv/shop", placement: "as" },
    { hostPath: "/work/x", guestPath: "/srv/", placement: "into" },
  ]);
  assert.equal(specOf(result)?.mounts, undefined);
});

test("a mount is a copy without a suffix, and live with one; the quota is for the latter", async () => {
  const result = await create("--mount", "a:/a", "--mount", "b:/b:ro", "--mount", "c:/c:rw", "--mount-quota", "1GB");
  assert.deepEqual(specOf(result)?.copies, [{ hostPath: "/work/a", guestPath: "/a", placement: "as" }]);
  const quota = { bytes: 1_000_000_000 };
  assert.deepEqual(specOf(result)?.mounts, [
    { hostPath: "/work/b", guestPath: "/b", access: "read-only", quota },
    { hostPath: "/work/c", guestPath: "/c", access: "read-write", quota },
  ]);
});

test("a mount without a place, and a copy that would be live, are refused before anything is made", async () => {
  for (const argv of [
    ["--mount", "dir"],
    ["--copy", "dir:/path:rw"],
    ["--mount-quota", "1GB"],
  ]) {
    const result = await create(...argv);
    assert.equal(result.status, 2, argv.join(" "));
    assert.equal(specOf(result), undefined);
  }
});

test("after a command, files that run code on this machine are named, with whatever is in their names escaped", async () => {
  const runtime = new FakeRuntime();
  runtime.folders.mountList = [
    {
      ...{ hostPath: "/work/shop", guestPath: "/shop", access: "read-write" },
      ...{ quota: { bytes: 1, files: 1 }, usedBytes: 0, usedFiles: 0, moreRisks: 2, failure: null },
      risks: [{ path: ".git/hooks/\u001b[2J", why: "a hook of git" }],
    },
  ];
  const argv = ["--mount", "shop:/shop:rw", "--", "true"];
  const { stderr } = await runCommand(Run, "run", argv, { runtime });
  assert.match(stderr, /\/work\/shop\/\.git\/hooks\/\\e\[2J \(a hook of git\)/);
  assert.match(stderr, /and 2 more/);
  const quiet = await runCommand(Run, "run", ["-q", ...argv], { runtime });
  assert.equal(quiet.stderr, "");
});

test("inspect shows mounts with their growth, and copies", async () => {
  const runtime = withSandbox();
  runtime.folders.mountList = [
    {
      ...{ hostPath: "/work/shop", guestPath: "/shop", access: "read-write", usedBytes: 2048, usedFiles: 3 },
      ...{ quota: { bytes: 4 * 1024 ** 3, files: 100 }, risks: [], moreRisks: 0, failure: null },
    },
  ];
  runtime.folders.copyList = [{ hostPath: "/work/a", guestPath: "/app/a", copiedAt: 0, entries: 7 }];
  const { stdout } = await runCommand(Inspect, "inspect", ["web"], { runtime });
  assert.match(stdout, /Mount +\/work\/shop at \/shop, read-write, grown by 2 KiB of 4 GiB/);
  assert.match(stdout, /Copy +\/work\/a at \/app\/a/);
  const json = await runCommand(Inspect, "inspect", ["web", "--json"], { runtime });
  const { mounts, copies } = JSON.parse(json.stdout) as { mounts: object[]; copies: object[] };
  assert.deepEqual(mounts, runtime.folders.mountList);
  assert.deepEqual(copies, [
    { hostPath: "/work/a", guestPath: "/app/a", copiedAt: "1970-01-01T00:00:00.000Z", entries: 7 },
  ]);
});

test("sync without anybody to ask takes --yes or --dry-run", async () => {
  const result = await sync(["web"], withSandbox([{}]));
  assert.equal(result.status, 2);
  assert.equal(result.runtime.folders.compared.length, 0);
});

test("sync shows the differences, escaped, and what deserves a look; --dry-run touches nothing", async () => {
  const runtime = withSandbox([
    { kind: "added", path: ".envrc", warnings: ["commands that direnv runs"] },
    { path: "a\u001b]0;x\u0007", conflict: true },
    { kind: "removed", path: "gone", size: null },
  ]);
  const { comparison } = runtime.folders;
  comparison.contents.set(".envrc", { before: "", after: "export A=\u001b[31m\n", reason: null });
  comparison.skipped = [{ path: "sock", reason: "a socket" }];
  const result = await sync(["web", "./shop", "--dry-run"], runtime);
  assert.equal(result.status, 0);
  assert.deepEqual(runtime.folders.compared, [{ ref: "web", hostPath: "/work/shop" }]);
  assert.equal(
    result.stdout,
    [
      "A .envrc (3 B)",
      "  ! commands that direnv runs",
      "  @@ -0,0 +1,1 @@",
      "  +export A=\\e[31m",
      "M a\\e]0;x\\x07 (3 B)",
      "  ! changed here as well",
      "  it is binary",
      "D gone",
      "  stays here: --delete removes it",
      "",
    ].join("\n"),
  );
  assert.match(result.stderr, /not brought back: sock: a socket/);
  assert.match(result.stderr, /1 added, 1 changed, 1 removed; nothing was touched here/);
  assert.deepEqual(comparison.applied, []);
  assert.ok(comparison.disposed);
});

test("sync --yes brings the changes back; --delete and --force are passed on", async () => {
  const runtime = withSandbox([{}]);
  runtime.folders.comparison.report = { written: 1, removed: 2, skipped: [{ path: "x", reason: "EACCES" }] };
  const result = await sync(["web", "--yes", "--delete", "--force"], runtime);
  assert.equal(result.status, 0);
  assert.deepEqual(runtime.folders.comparison.applied, [{ remove: true, force: true }]);
  assert.match(result.stderr, /brought back 1, removed 2/);
  assert.match(result.stderr, /not brought back: x: EACCES/);
});

test("sync does not ask or act where nothing has changed but what stays here anyway", async () => {
  const runtime = withSandbox([{ kind: "removed", path: "gone" }]);
  const result = await sync(["web"], runtime, { tty: TERMINAL });
  assert.equal(result.status, 0);
  assert.deepEqual(runtime.folders.comparison.applied, []);
  const none = await sync(["web", "--yes"], withSandbox());
  assert.match(none.stderr, /nothing has changed/);
});

test("sync --json lists the changes, and what was done with them", async () => {
  const result = await sync(["web", "--yes", "--json"], withSandbox([{ path: "a\u001b" }]));
  const printed = JSON.parse(result.stdout) as { changes: object[]; applied: object };
  assert.deepEqual(printed.changes, [
    { kind: "changed", path: "a\u001b", entry: "file", size: 3, conflict: false, warnings: [] },
  ]);
  assert.deepEqual(printed.applied, { written: 0, removed: 0, skipped: [] });
});
