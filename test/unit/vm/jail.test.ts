/** The jail's command line for each account and each missing tool, and who may never start QEMU. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { jailedCommand, type JailSpec } from "../../../src/vm/jail.ts";
import type { StartOptions } from "../../../src/vm/machine-plan.ts";
import { startMachine } from "../../../src/vm/virtual-machine.ts";
import { grantDevice, planAccess } from "../../../src/vm/device-access.ts";
import { SbxError } from "../../../src/runtime/errors.ts";
import { temporaryDirectory } from "../store/temporary-directory.ts";

const TOOLS = { bubblewrap: "/usr/bin/bwrap", prlimit: "/usr/bin/prlimit", setpriv: "/usr/bin/setpriv" };
const SPEC: JailSpec = {
  tools: TOOLS,
  qemuPath: "/usr/bin/qemu-system-x86_64",
  files: [
    { hostPath: "/home/a b/image, v2", jailPath: "/vm/disk0", writable: false },
    { hostPath: "/home/a b/--bind", jailPath: "/vm/disk1", writable: true },
  ],
  devices: [],
  runAs: null,
  limits: { addressSpaceBytes: 5000, fileSizeBytes: 4000 },
};

test("an ordinary user's QEMU gets namespaces without network, an empty environment and only its files", () => {
  assert.deepEqual(jailedCommand(SPEC, ["-nodefaults"]), [
    ...["/usr/bin/prlimit", "--core=0", "--nofile=1024", "--as=5000", "--fsize=4000:", "--"],
    ...["/usr/bin/bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"],
    ...["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"],
    ...["--die-with-parent", "--new-session", "--clearenv", "--setenv", "MALLOC_ARENA_MAX", "4"],
    ...["--hostname", "sbx", "--chdir", "/"],
    ...["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives"].flatMap((directory) => [
      "--ro-bind-try",
      directory,
      directory,
    ]),
    ...["--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/vm"],
    ...["--ro-bind", "/home/a b/image, v2", "/vm/disk0", "--bind", "/home/a b/--bind", "/vm/disk1", "--"],
    ...["/usr/bin/qemu-system-x86_64", "-nodefaults"],
  ]);
});

test("root's QEMU runs under an account of its own, without capabilities or root's groups", () => {
  const words = jailedCommand({ ...SPEC, runAs: { uid: 1_234_567_890, groups: [] } }, ["-nodefaults"]);
  const from = words.indexOf("/usr/bin/setpriv");
  assert.deepEqual(words.slice(from), [
    ...["/usr/bin/setpriv", "--reuid", "1234567890", "--regid", "1234567890", "--clear-groups"],
    ...["--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "--"],
    ...["/usr/bin/qemu-system-x86_64", "-nodefaults"],
  ]);
  assert.ok(words.includes("--nproc=1024"));
  assert.ok(!words.includes("--unshare-user"));
});

test("a QEMU outside of the system's directories is shown in the jail, and a device under its usual name", () => {
  const devices = [{ hostPath: "/state/kvm", jailPath: "/dev/kvm" }];
  const words = jailedCommand({ ...SPEC, qemuPath: "/opt/q/qemu", devices }, []).join("\0");
  assert.ok(words.includes("--ro-bind\0/opt/q/qemu\0/opt/q/qemu\0"));
  assert.ok(words.includes("--dev-bind-try\0/state/kvm\0/dev/kvm\0"));
});

test("a missing tool takes its layer away and nothing else", () => {
  const command = (change: Partial<JailSpec["tools"]>): string[] =>
    jailedCommand({ ...SPEC, tools: { ...TOOLS, ...change } }, ["-x"]);
  assert.equal(command({ prlimit: null })[0], "/usr/bin/bwrap");
  assert.deepEqual(command({ prlimit: null, bubblewrap: null }), [
    ...["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"],
    ...["/usr/bin/qemu-system-x86_64", "-x"],
  ]);
  assert.deepEqual(command({ prlimit: null, bubblewrap: null, setpriv: null }), ["/usr/bin/qemu-system-x86_64", "-x"]);
});

for (const [missing, hint] of [
  ["bubblewrap", "sudo apt-get install bubblewrap"],
  ["setpriv", "sudo apt-get install util-linux"],
] as const) {
  test(`root without ${missing} starts no QEMU, since it would keep root's rights`, async () => {
    const options: StartOptions = {
      name: "sbx_loc_1",
      diskWrites: "discarded",
      qemu: { path: "/bin/false", version: "7.2", major: 7, minor: 2 },
      tools: { ...TOOLS, [missing]: null },
      machine: { accelerator: { name: "tcg", cpuModel: "x", tscKhz: null }, memoryBytes: 1024 ** 2, cpus: 1 },
      mode: { kind: "restore", statePath: "/dev/null" },
      memoryPath: null,
      disk: [],
      diskBytes: 0,
      network: false,
      exchangePath: null,
      uid: 1_234_567_890,
    };
    await assert.rejects(startMachine(options), (error: unknown) => {
      assert.ok(error instanceof SbxError);
      assert.equal(error.code, "vm_start_failed");
      assert.equal(error.message, `sbx runs as root and ${missing} is missing, so QEMU would run as root`);
      assert.equal(error.hint, hint);
      return true;
    });
  });
}

test("QEMU's account comes to a device by its mode or its group, else by a node of its own; never by root's group", () => {
  assert.deepEqual(planAccess({ mode: 0o020666, gid: 0 }), { kind: "open" });
  assert.deepEqual(planAccess({ mode: 0o020660, gid: 106 }), { kind: "group", gid: 106 });
  assert.deepEqual(planAccess({ mode: 0o020660, gid: 0 }), { kind: "node" });
  assert.deepEqual(planAccess({ mode: 0o020600, gid: 0 }), { kind: "node" });
  assert.deepEqual(planAccess({ mode: 0o020640, gid: 106 }), { kind: "node" });
});

test("a device that everybody may use is used as it is", async (t) => {
  assert.deepEqual(await grantDevice("/dev/null", 1000, temporaryDirectory(t)), { hostPath: "/dev/null", groups: [] });
});
