import assert from "node:assert/strict";
import { test } from "node:test";
import Doctor from "../../../../src/commands/doctor.ts";
import ImageBuild from "../../../../src/commands/image/build.ts";
import ImageInspect from "../../../../src/commands/image/inspect.ts";
import ImageList from "../../../../src/commands/image/list.ts";
import ImageRemove from "../../../../src/commands/image/remove.ts";
import Setup from "../../../../src/commands/setup.ts";
import Version from "../../../../src/commands/version.ts";
import { SbxError } from "../../../../src/runtime/errors.ts";
import type { Check } from "../../../../src/runtime/types.ts";
import { FakeRuntime, imageInfo } from "../../../fake-runtime.ts";
import { runCommand } from "../run-command.ts";

const CHECKS: Check[] = [
  { id: "qemu", title: "QEMU", status: "ok", found: "7.2.1" },
  {
    id: "kvm",
    title: "Accelerator",
    status: "warning",
    found: "tcg: /dev/kvm is\u001b[0m unusable",
    fix: "enable nested virtualisation",
  },
  { id: "disk", title: "Disk", status: "info", found: "12 GiB free" },
];
const BROKEN: Check = { id: "node", title: "Node", status: "failed", found: "20", fix: "install Node 24" };

function withChecks(checks: Check[]): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.checks = checks;
  return runtime;
}

test("doctor prints a line for each check and a fix for each fault", async () => {
  const result = await runCommand(Doctor, "doctor", [], { runtime: withChecks(CHECKS) });
  assert.equal(
    result.stdout,
    [
      "ok       QEMU         7.2.1",
      "warning  Accelerator  tcg: /dev/kvm is\\e[0m unusable",
      "         try: enable nested virtualisation",
      "-        Disk         12 GiB free",
      "",
    ].join("\n"),
  );
  assert.equal(result.status, 0);
});

test("on a terminal doctor breaks its lines between words, below the titles where there is no room beside them", async () => {
  const found = "KVM is there, but QEMU ended:\nCould not access it: Permission denied; emulation works";
  const fix = "ask whoever runs this machine for access to /dev/kvm, or live with it";
  const checks: Check[] = [{ id: "kvm", title: "Accelerator", status: "warning", found, fix }];
  const lines = async (columns: number): Promise<string[]> => {
    const options = { runtime: withChecks(checks), tty: { stdout: true, columns }, env: { NO_COLOR: "1" } };
    return (await runCommand(Doctor, "doctor", [], options)).stdout.trimEnd().split("\n");
  };
  assert.deepEqual(await lines(70), [
    "warning  Accelerator  KVM is there, but QEMU ended: Could not access",
    "                      it: Permission denied; emulation works",
    "         try: ask whoever runs this machine for access to /dev/kvm, or",
    "              live with it",
  ]);
  assert.deepEqual((await lines(50)).slice(0, 2), [
    "warning  Accelerator",
    "         KVM is there, but QEMU ended: Could not",
  ]);
});

test("doctor and setup end with 1 when sbx could not run", async () => {
  const runtime = withChecks([...CHECKS, BROKEN]);
  assert.equal((await runCommand(Doctor, "doctor", [], { runtime })).status, 1);
  const setup = await runCommand(Setup, "setup", ["--force", "--quiet"], { runtime });
  assert.equal(setup.status, 1);
  assert.equal(setup.stdout, "FAILED   Node  20\n         try: install Node 24\n");
  assert.deepEqual(runtime.calls.at(-1), { method: "machine.setup", args: [{ force: true }] });
});

test("doctor --json is what the runtime found", async () => {
  const result = await runCommand(Doctor, "doctor", ["--json"], { runtime: withChecks(CHECKS) });
  assert.deepEqual(JSON.parse(result.stdout), CHECKS);
});

test("image list marks the default image", async () => {
  const runtime = new FakeRuntime();
  runtime.imageList = [imageInfo(), imageInfo({ id: "c".repeat(64), names: ["data", "db"], isDefault: false })];
  const result = await runCommand(ImageList, "image:list", [], { runtime });
  assert.match(
    result.stdout,
    /^ID +NAMES +CREATED +SIZE +DISTRIBUTION +ARCH\naaaaaaaaaaaa +default \(default\) +1m ago +900 MiB +Debian 13 +amd64\n/,
  );
  assert.match(result.stdout, /\ncccccccccccc +data, db +1m ago/);
});

test("image build passes name and packages on and prints the id", async () => {
  const result = await runCommand(ImageBuild, "image:build", ["data", "sqlite3", "libfoo2.0+x"]);
  assert.equal(result.stdout, `${"b".repeat(64)}\n`);
  assert.deepEqual(result.runtime.calls[0]?.args, [
    { name: "data", packages: ["sqlite3", "libfoo2.0+x"], force: false },
  ]);
});

test("image build refuses what can be no package before anything runs", async () => {
  for (const bad of ["--", "a b", "UPPER", "-x", "a;reboot", "../x"]) {
    const result = await runCommand(ImageBuild, "image:build", ["data", "--", "ok1", bad]);
    if (bad === "--") continue;
    assert.equal(result.status, 2, bad);
    assert.deepEqual(result.runtime.calls, []);
  }
});

test("image inspect shows one image, image remove removes by id what it asked about", async () => {
  const runtime = new FakeRuntime();
  runtime.imageList = [imageInfo({ names: ["data"], isDefault: false })];
  const inspected = await runCommand(ImageInspect, "image:inspect", ["data"], { runtime });
  assert.match(inspected.stdout, /\nPackages +2 \(--json lists them\)\n$/);
  const removed = await runCommand(ImageRemove, "image:remove", ["data"], { runtime });
  assert.equal(removed.stdout, `${"a".repeat(64)}\n`);
  assert.deepEqual(runtime.calls.at(-1), { method: "images.remove", args: ["a".repeat(64)] });
});

test("image inspect --verify has every byte read and says so, as JSON too", async () => {
  const runtime = new FakeRuntime();
  const shown = await runCommand(ImageInspect, "image:inspect", ["default", "--verify"], { runtime });
  assert.match(shown.stdout, /\nVerified +every byte is as it was built\n$/);
  assert.equal(shown.status, 0);
  const json = await runCommand(ImageInspect, "image:inspect", ["default", "--verify", "--json"], { runtime });
  assert.equal((JSON.parse(json.stdout) as { verified: boolean }).verified, true);
  assert.deepEqual(
    runtime.calls.map(({ method }) => method),
    ["images.verify", "images.verify"],
  );
  const unread = await runCommand(ImageInspect, "image:inspect", ["default", "--json"], { runtime });
  assert.equal("verified" in (JSON.parse(unread.stdout) as object), false);
});

test("image inspect --verify of a damaged image ends with 1, what has changed, and the command that mends it", async () => {
  const runtime = new FakeRuntime();
  const damage = new SbxError("image_broken", 'image "default" is damaged: the content of vmlinuz has changed', {
    hint: "sbx setup --force",
  });
  runtime.failures.set("images.verify", damage);
  const result = await runCommand(ImageInspect, "image:inspect", ["default", "--verify"], { runtime });
  assert.equal(result.status, 1);
  assert.equal(result.stdout, "");
  assert.equal(
    result.stderr,
    'sbx: image "default" is damaged: the content of vmlinuz has changed\n  try: sbx setup --force\n',
  );
  runtime.failures.set("images.verify", damage);
  const json = await runCommand(ImageInspect, "image:inspect", ["default", "--verify", "--json"], { runtime });
  assert.equal(json.status, 1);
  assert.equal(json.stdout, "");
  const { error } = JSON.parse(json.stderr) as { error: Record<string, string> };
  assert.deepEqual([error.code, error.hint], ["image_broken", "sbx setup --force"]);
});

test("an image in use is kept, with the reason", async () => {
  const runtime = new FakeRuntime();
  runtime.failures.set(
    "images.remove",
    new SbxError("image_in_use", "the image is used by web", { hint: "sbx kill web" }),
  );
  const result = await runCommand(ImageRemove, "image:remove", ["default"], { runtime });
  assert.equal(result.status, 1);
  assert.equal(result.stderr, "sbx: the image is used by web\n  try: sbx kill web\n");
});

test("version prints what --version prints, and the parts as JSON", async () => {
  const result = await runCommand(Version, "version", []);
  assert.equal(result.stdout, `sbx/1.2.3 ${process.platform}-${process.arch} node-${process.version}\n`);
  const json = await runCommand(Version, "version", ["--json"]);
  assert.deepEqual(JSON.parse(json.stdout), {
    version: "1.2.3",
    platform: process.platform,
    arch: process.arch,
    node: process.version,
  });
});
