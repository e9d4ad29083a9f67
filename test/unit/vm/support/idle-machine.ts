/** A real QEMU without a guest, for what happens between sbx and its monitor. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import type { Duplex } from "node:stream";
import type { TestContext } from "node:test";
import { sendFdPath } from "../../../../src/host/package-root.ts";
import { QemuFiles } from "../../../../src/vm/qemu-files.ts";
import { Qmp, type FileSender } from "../../../../src/vm/qmp.ts";
import { locateQemu } from "../../../../src/vm/qemu-binary.ts";
import { fileSender } from "../../../../src/vm/send-files.ts";

const BUILDER: string = "../../../../scripts/build-agent.mjs";
const { buildAgent } = (await import(BUILDER)) as { buildAgent: () => unknown };
buildAgent();

export interface IdleMachine {
  pid: number;
  qmp: Qmp;
  files: QemuFiles;
  send: FileSender;
  /** Files that QEMU has open below a directory, sorted. */
  openFiles(directory: string): string[];
  openDescriptors(directory: string): { fd: string; name: string }[];
  sets(): Promise<number>;
  nodes(): Promise<string[]>;
}

/** The machine's disk `root` is the file `rootPath`, raw. */
export async function startIdleMachine(t: TestContext, rootPath: string): Promise<IdleMachine> {
  const root = { driver: "raw", "node-name": "root", file: { driver: "file", filename: rootPath } };
  const child = spawn(
    await locateQemu(),
    [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-m", "64M", "-accel", "tcg"],
      ...["-machine", "microvm,rtc=on,pcie=off,usb=off,graphics=off"],
      ...["-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"],
      ...["-blockdev", JSON.stringify(root), "-device", "virtio-blk-device,drive=root"],
      ...["-device", "virtio-scsi-device,id=scsi"],
    ],
    { stdio: ["ignore", "ignore", "inherit", "pipe"] },
  );
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const qmp = new Qmp(child.stdio[3] as Duplex);
  await qmp.execute("query-status");
  const pid = child.pid ?? 0;
  const send = fileSender(sendFdPath());
  return {
    ...{ pid, qmp, send },
    files: new QemuFiles(qmp, send),
    openFiles: (directory) =>
      openFilesOf(pid, directory)
        .map(({ name }) => name)
        .sort(),
    openDescriptors: (directory) => openFilesOf(pid, directory),
    sets: async () => ((await qmp.execute("query-fdsets")) as unknown[]).length,
    nodes: async () => {
      const nodes = (await qmp.execute("query-named-block-nodes")) as { "node-name": string }[];
      return nodes
        .map((node) => node["node-name"])
        .filter((name) => !name.startsWith("#"))
        .sort();
    },
  };
}

function openFilesOf(pid: number, directory: string): { fd: string; name: string }[] {
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => ({ fd, name: readlinkSync(`/proc/${pid}/fd/${fd}`) }))
    .filter(({ name }) => name.startsWith(`${directory}/`))
    .map(({ fd, name }) => ({ fd, name: name.slice(directory.length + 1) }));
}
