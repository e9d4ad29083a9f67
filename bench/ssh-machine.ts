/**
 * What people would use instead: OpenSSH into a virtual machine. The machine is a sandbox's (same kernel, disk, memory
 * and CPUs) with a network card of QEMU's user network; sshd is Debian's, set up so that it loses no time on names,
 * PAM or banners, and the client keeps one connection for all commands (ControlMaster). Keys are made for the run.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SbxError } from "../src/runtime/errors.ts";
import type { Bench } from "./workbench.ts";
import { preparePlainMachine } from "./plain-machine.ts";
import { freePort } from "./free-port.ts";

const IMAGE = "bench-ssh";
const CONNECT_DEADLINE_MS = 60_000;
/** The user network's own plan (QEMU documentation, "Using the user mode network stack"). */
const GUEST_ADDRESS = "10.0.2.15/24";
const GUEST_GATEWAY = "10.0.2.2";

/** sshd without what costs time on other people's machines. */
const SERVER_OPTIONS = [
  "UseDNS=no",
  "UsePAM=no",
  "PrintMotd=no",
  "PrintLastLog=no",
  "PermitRootLogin=prohibit-password",
  "HostKey=/run/bench-host-key",
  "AuthorizedKeysFile=/run/bench-authorized-keys",
  "StrictModes=no",
  "MaxSessions=64",
];

export interface SshMachine extends AsyncDisposable {
  /** Command lines that use the one connection. */
  ssh(command: string): string[];
  scp(from: string, to: string): string[];
  /** The same with a connection of their own. */
  directSsh(command: string): string[];
  directScp(from: string, to: string): string[];
  /** `app@host:path` for scp. */
  remote(guestPath: string): string;
  /** The ssh command as a string for `tar … | ssh …` in a shell. */
  readonly shellCommand: string;
}

/** Boots it and opens the connection. */
export async function openSshMachine(bench: Bench): Promise<SshMachine> {
  await ensureImage(bench);
  bench.log("booting the machine with sshd");
  const port = await freePort();
  const prepared = await preparePlainMachine(bench, {
    image: IMAGE,
    devices: [
      ...["-netdev", `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:${port}-:22`],
      ...["-device", "virtio-net-device,netdev=net0"],
    ],
  });
  const machine = await prepared.boot();
  const keyPath = path.join(bench.scratchPath, "key");
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", keyPath]);
  const key = readFileSync(`${keyPath}.pub`, "utf8").trim();
  await machine.run("sh", "-c", serverScript(key));
  const options = [
    ...["-F", "none", "-i", keyPath, "-p", String(port)],
    ...["-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
    ...["-o", "LogLevel=ERROR", "-o", `ControlPath=${path.join(bench.scratchPath, "control")}`],
  ];
  const closeMaster = await openMaster(options);
  const scpOptions = options.map((word) => (word === "-p" ? "-P" : word));
  return {
    ssh: (command) => ["ssh", ...options, "app@127.0.0.1", command],
    scp: (from, to) => ["scp", "-q", "-r", ...scpOptions, from, to],
    // ssh takes the first value of an option.
    directSsh: (command) => ["ssh", "-o", "ControlPath=none", ...options, "app@127.0.0.1", command],
    directScp: (from, to) => ["scp", "-q", "-r", "-o", "ControlPath=none", ...scpOptions, from, to],
    remote: (guestPath) => `app@127.0.0.1:${guestPath}`,
    shellCommand: ["ssh", ...options, "app@127.0.0.1"].join(" "),
    async [Symbol.asyncDispose]() {
      await closeMaster();
      await machine[Symbol.asyncDispose]();
    },
  };
}

/** Built once; it stays in the benchmark's home. */
async function ensureImage(bench: Bench): Promise<void> {
  try {
    await bench.runtime.images.get(IMAGE);
  } catch (error) {
    if (!(error instanceof Error) || (error as Partial<SbxError>).code !== "image_not_found") throw error;
    bench.log("building the image with openssh-server, once");
    const onProgress = ({ message }: { message: string }): void => bench.log(message);
    await bench.runtime.images.build({ name: IMAGE, packages: ["openssh-server"] }, { onProgress });
  }
}

function serverScript(key: string): string {
  const options = SERVER_OPTIONS.map((option) => `-o ${option}`).join(" ");
  return [
    "set -e",
    "exec 2>&1",
    "nic=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)",
    `ip link set "$nic" up; ip address add ${GUEST_ADDRESS} dev "$nic"; ip route add default via ${GUEST_GATEWAY}`,
    "mkdir -p /run/sshd",
    `printf '%s\\n' '${key}' > /run/bench-authorized-keys`,
    "ssh-keygen -q -t ed25519 -N '' -f /run/bench-host-key",
    // An account without a password is "locked" for an sshd without PAM.
    "usermod -p '*' app",
    `/usr/sbin/sshd ${options} < /dev/null > /dev/null 2>&1`,
  ].join("\n");
}

async function openMaster(options: string[]): Promise<() => Promise<void>> {
  const deadline = performance.now() + CONNECT_DEADLINE_MS;
  for (;;) {
    const child = spawn("ssh", ["-N", "-M", ...options, "app@127.0.0.1"], { stdio: ["ignore", "ignore", "pipe"] });
    let words = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (words += text));
    const exited = once(child, "exit");
    while (child.exitCode === null && !isUp(options) && performance.now() < deadline) await sleep(100);
    if (child.exitCode === null && isUp(options)) {
      return async () => {
        child.kill();
        await exited;
      };
    }
    child.kill();
    if (performance.now() > deadline) throw new Error(`no connection to the machine's sshd: ${words}`);
    await sleep(500);
  }
}

function isUp(options: string[]): boolean {
  try {
    execFileSync("ssh", ["-O", "check", ...options, "app@127.0.0.1"], { stdio: "ignore" });
    return true;
  } catch {
    return false; // Not yet.
  }
}
