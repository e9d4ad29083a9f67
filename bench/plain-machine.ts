/**
 * QEMU alone: the same kernel, initramfs, disk, memory and CPUs as a sandbox's, booted cold, without a template, a
 * jail or a supervisor. The guest's agent is there too (it is the initramfs's init); what a row does first is said to
 * it over the virtio-serial port.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createReadStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import type { Duplex, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { openAgentLink } from "../src/guest/agent-link.ts";
import type { AgentLink } from "../src/guest/link.ts";
import { agentPath } from "../src/host/package-root.ts";
import { giveIdentity } from "../src/supervisor/guest-boot.ts";
import { createOverlay } from "../src/vm/disk.ts";
import { ensureInitrd } from "../src/vm/image/initrd.ts";
import { ImageStore } from "../src/vm/image/image-store.ts";
import { hostArchitecture } from "../src/vm/image/recipe.ts";
import type { MachineSpec } from "../src/vm/machine-spec.ts";
import { kernelCommandLine, qemuArgs } from "../src/vm/qemu-args.ts";
import type { Bench } from "./workbench.ts";

export interface PlainMachine extends AsyncDisposable {
  readonly link: AgentLink;
  /** Runs a command as root. @throws Error with its output when it fails */
  run(...argv: string[]): Promise<void>;
  /** Starts a program as root. */
  start(...argv: string[]): Promise<PlainProgram>;
  /** Copies a file of the host into the guest, as an executable of root's. */
  put(hostPath: string, guestPath: string): Promise<void>;
}

export interface PlainProgram {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

export interface PlainMachineOptions {
  /** Image; the default one if absent. */
  image?: string;
  /** More arguments for QEMU, such as a network card. */
  devices?: string[];
}

/** A prepared boot: everything that is on the disk before QEMU starts. */
export interface PlainBoot {
  /** Starts QEMU; settles when the guest answers and has its identity. */
  boot(): Promise<PlainMachine>;
}

/** Prepares a boot; each has a disk layer of its own. */
export async function preparePlainMachine(bench: Bench, options: PlainMachineOptions = {}): Promise<PlainBoot> {
  const images = new ImageStore(path.join(bench.paths.dataPath, "images"));
  const { id } = await bench.runtime.images.get(options.image ?? "default");
  const image = await images.open(id);
  const initrdPath = await ensureInitrd(image, agentPath(hostArchitecture()));
  const directory = mkdtempSync(path.join(bench.scratchPath, "machine-"));
  const layerPath = path.join(directory, "disk.qcow2");
  const base = { path: image.rootPath, format: "raw" } as const;
  await createOverlay(layerPath, base, bench.settings.diskBytes);
  const machine = machineSpec(bench);
  const args = qemuArgs({
    name: "sbx-plain",
    diskWrites: "discarded",
    machine,
    mode: {
      kind: "boot",
      boot: { kernelPath: image.kernelPath, initrdPath },
      commandLine: kernelCommandLine(machine, { verbose: false }),
      shareMemory: false,
    },
    memoryPath: null,
    readOnlyTemplate: false,
    disk: [base, { path: layerPath, format: "qcow2" }],
    network: false,
  });
  return {
    async boot() {
      const child = spawn(bench.qemu.path, [...args, ...(options.devices ?? [])], {
        stdio: ["ignore", "pipe", "inherit", "pipe", "pipe"],
      });
      return connect(child, directory);
    },
  };
}

async function connect(child: ChildProcess, directory: string): Promise<PlainMachine> {
  const exited = once(child, "exit");
  let consoleTail = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (consoleTail = (consoleTail + text).slice(-2000)));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const link = await openAgentLink(child.stdio[4] as Duplex, { signal: AbortSignal.timeout(120_000) });
    await giveIdentity(link, "plain");
    return {
      link,
      run: (...argv) => runInGuest(link, argv),
      start: (...argv) => startInGuest(link, argv),
      put: (hostPath, guestPath) => putIntoGuest(link, hostPath, guestPath),
      [Symbol.asyncDispose]: stop,
    };
  } catch (cause) {
    await stop();
    throw new Error(`the plain machine did not come up: ${String(cause)}; its console: ${consoleTail}`, { cause });
  }
}

/** The environment as in a sandbox: a locale costs a program more than a system call. */
const PROGRAM_OF_ROOT = {
  env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8", HOME: "/root" },
  ...{ cwd: "/", user: "root", pty: null },
} as const;

async function runInGuest(link: AgentLink, argv: string[]): Promise<void> {
  const stdout = link.openReadable();
  let said = "";
  stdout.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)));
  const { pid } = await link.call("exec", {
    ...{ ...PROGRAM_OF_ROOT, argv },
    ...{ stdin: null, stdout: stdout.streamId, stderr: null },
  });
  const { code } = await link.call("wait", { pid });
  if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code} in the plain machine: ${said}`);
}

async function startInGuest(link: AgentLink, argv: string[]): Promise<PlainProgram> {
  const stdin = link.openWritable();
  const stdout = link.openReadable();
  const stderr = link.openReadable();
  await link.call("exec", {
    ...{ ...PROGRAM_OF_ROOT, argv },
    ...{ stdin: stdin.streamId, stdout: stdout.streamId, stderr: stderr.streamId },
  });
  return { stdin, stdout, stderr };
}

async function putIntoGuest(link: AgentLink, hostPath: string, guestPath: string): Promise<void> {
  const content = link.openWritable();
  const file = { path: guestPath, user: "root", append: false, create: true, createNew: false, mode: 0o755 };
  const writing = link.call("fs.writeFile", { ...file, stream: content.streamId });
  await Promise.all([writing, pipeline(createReadStream(hostPath), content)]);
}

/** The sandbox's own: the verdict of this host, the default memory and CPUs. */
function machineSpec(bench: Bench): MachineSpec {
  const verdict = JSON.parse(readFileSync(bench.paths.verdictPath, "utf8")) as Pick<MachineSpec, "accelerator">;
  const { memoryBytes, cpus } = bench.settings;
  return { accelerator: verdict.accelerator, memoryBytes, cpus };
}
