/** The QEMU command line, word for word: a change of the machine has to be made here as well. */
import { test } from "node:test";
import assert from "node:assert/strict";
import type { MachineSpec } from "../../../src/vm/machine-spec.ts";
import { kernelCommandLine, qemuArgs, type QemuArgsInput } from "../../../src/vm/qemu-args.ts";

const TCG: MachineSpec = {
  accelerator: { name: "tcg", cpuModel: "qemu64,+arat", tscKhz: 2_000_000 },
  memoryBytes: 1280 * 1024 ** 2,
  cpus: 2,
};
const KVM: MachineSpec = { ...TCG, accelerator: { name: "kvm", cpuModel: "host,-arch-capabilities", tscKhz: null } };

const RESTORE: QemuArgsInput = {
  name: "sbx_loc_1",
  diskWrites: "discarded",
  machine: TCG,
  mode: { kind: "restore" },
  memoryPath: "/vm/ram",
  readOnlyTemplate: false,
  disk: [
    { path: "/vm/disk0", format: "raw" },
    { path: "/vm/disk1", format: "qcow2" },
    { path: "/vm/disk2", format: "qcow2" },
  ],
  network: true,
};

function after(words: string[], option: string): string[] {
  return words.flatMap((word, index) => (word === option ? [words[index + 1] ?? ""] : []));
}

function memoryOf(input: QemuArgsInput): unknown {
  return JSON.parse(after(qemuArgs(input), "-object")[0] ?? "");
}

test("a sandbox is restored by exactly this command line", () => {
  assert.deepEqual(qemuArgs(RESTORE), [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", "sbx_loc_1"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-machine", "microvm,rtc=on,pcie=off,usb=off,graphics=off,memory-backend=ram"],
    ...["-accel", "tcg,thread=single,tb-size=256"],
    ...["-cpu", "qemu64,+arat"],
    ...["-m", "1280M", "-smp", "2"],
    "-object",
    '{"qom-type":"memory-backend-file","id":"ram","size":1342177280,"mem-path":"/vm/ram","share":false}',
    ...["-incoming", "defer"],
    ...["-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-device", "virtio-rng-device"],
    ...["-device", "virtio-serial-device,max_ports=4", "-chardev", "socket,id=agent,fd=4"],
    ...["-device", "virtserialport,chardev=agent,name=sbx.agent,nr=1"],
    "-blockdev",
    '{"driver":"raw","node-name":"layer0","read-only":true,"file":{"driver":"file","filename":"/vm/disk0","read-only":true,"locking":"off"}}',
    "-blockdev",
    '{"driver":"qcow2","node-name":"layer1","read-only":true,"backing":"layer0","file":{"driver":"file","filename":"/vm/disk1","read-only":true,"locking":"off"}}',
    "-blockdev",
    '{"driver":"qcow2","node-name":"root","read-only":false,"discard":"unmap","backing":"layer1","file":{"driver":"file","filename":"/vm/disk2","cache":{"no-flush":true},"discard":"unmap"},"cache":{"no-flush":true}}',
    "-device",
    "virtio-blk-device,id=root,drive=root,werror=stop,rerror=report,discard=on,write-zeroes=on",
    ...["-device", "virtio-scsi-device,id=scsi"],
    ...["-netdev", "stream,id=network,server=off,addr.type=fd,addr.str=7"],
    ...["-device", "virtio-net-device,netdev=network,mac=52:54:00:73:62:02,rx_queue_size=1024,guest_announce=off"],
  ]);
});

test("a root disk whose writes are kept has its flushes reach the host's disk, and is the same otherwise", () => {
  const nodes = (diskWrites: "kept" | "discarded"): string[] =>
    after(qemuArgs({ ...RESTORE, diskWrites }), "-blockdev");
  assert.ok(nodes("discarded").at(-1)?.includes("no-flush"));
  assert.ok(!nodes("kept").join().includes("no-flush"));
  assert.equal(nodes("kept").at(-1), nodes("discarded").at(-1)?.replaceAll(',"cache":{"no-flush":true}', ""));
});

test("the only network is a socket to the supervisor, and there is none unless it was asked for", () => {
  assert.deepEqual(after(qemuArgs(RESTORE), "-netdev"), ["stream,id=network,server=off,addr.type=fd,addr.str=7"]);
  const without = qemuArgs({ ...RESTORE, network: false });
  assert.ok(!without.some((word) => /netdev|virtio-net|^-net|-nic/.test(word)));
});

test("a first boot loads the kernel directly and shares its memory with the template's file", () => {
  const boot = { kernelPath: "/vm/kernel", initrdPath: "/vm/initrd" };
  const mode = { kind: "boot", boot, commandLine: "console=ttyS0", shareMemory: true } as const;
  const words = qemuArgs({ ...RESTORE, mode });
  assert.deepEqual(after(words, "-kernel"), ["/vm/kernel"]);
  assert.deepEqual(after(words, "-initrd"), ["/vm/initrd"]);
  assert.deepEqual(after(words, "-append"), ["console=ttyS0"]);
  assert.deepEqual(after(words, "-incoming"), []);
  assert.equal((memoryOf({ ...RESTORE, mode }) as { share: boolean }).share, true);
});

test("the guest shares no files and has no other way to the host than its card and its ports, whatever the mode", () => {
  for (const machine of [TCG, KVM]) {
    const words = qemuArgs({ ...RESTORE, machine });
    assert.ok(words.includes("-nodefaults"));
    assert.deepEqual(
      words.filter((word) => /^-(?:net|nic)$|^user,|hostfwd|virtfs|9p|vsock/.test(word)),
      [],
    );
    assert.equal(after(words, "-netdev").length, 1);
  }
});

test("KVM is asked for by name, with its own processor", () => {
  const words = qemuArgs({ ...RESTORE, machine: KVM });
  assert.deepEqual(after(words, "-accel"), ["kvm"]);
  assert.deepEqual(after(words, "-cpu"), ["host,-arch-capabilities"]);
});

test("from QEMU 8.2 on a template's memory is opened for reading only, except to make it", () => {
  const memory = memoryOf({ ...RESTORE, readOnlyTemplate: true }) as Record<string, unknown>;
  assert.deepEqual([memory.readonly, memory.rom, memory.share], [true, "off", false]);
  const boot = { kernelPath: "k", initrdPath: "i" };
  const making = memoryOf({
    ...RESTORE,
    readOnlyTemplate: true,
    mode: { kind: "boot", boot, commandLine: "", shareMemory: true },
  }) as Record<string, unknown>;
  assert.equal("readonly" in making, false);
});

test("no character of a path becomes option syntax", () => {
  for (const path of [
    "/a,b/ram,share=on",
    '/a"b',
    "/a b\\c",
    "/a\nb",
    "/ü,file=/etc/shadow",
    "/-blockdev",
    "/a=b%c{}",
  ]) {
    const words = qemuArgs({ ...RESTORE, memoryPath: path, disk: [{ path, format: "raw" }] });
    assert.equal(words.length, qemuArgs({ ...RESTORE, disk: [{ path: "/x", format: "raw" }] }).length);
    assert.equal((JSON.parse(after(words, "-object")[0] ?? "") as Record<string, unknown>)["mem-path"], path);
    const node = JSON.parse(after(words, "-blockdev")[0] ?? "") as { file: Record<string, unknown> };
    assert.equal(node.file.filename, path);
  }
});

test("only an emulated guest is told its clock, and only a verbose one shows its boot", () => {
  assert.match(kernelCommandLine(TCG, { verbose: false }), /(^| )quiet( |$).*(^| )tsc_early_khz=2000000( |$)/);
  assert.match(kernelCommandLine(TCG, { verbose: true }), /(^| )loglevel=7( |$)/);
  assert.doesNotMatch(kernelCommandLine(KVM, { verbose: false }), /tsc_early_khz|mitigations=off/);
});
