/** Checks of the programs that sbx starts: QEMU, the tools of its jail, the tools of an image build. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import os from "node:os";
import { promisify } from "node:util";
import { missingBuildTools } from "../../../vm/image/build-tools.ts";
import { findJailTools, type JailTools } from "../../../vm/jail.ts";
import { findProgram, findQemu } from "../../../vm/qemu-binary.ts";
import type { Check } from "../../types.ts";
import { failed, failedBy, ok, warning } from "./check-result.ts";

const run = promisify(execFile);

/** A program that hangs must not hang the check. `ms` */
const DEADLINE_MS = 10_000;

export async function checkQemu(): Promise<Check> {
  const subject = { id: "qemu", title: "QEMU" };
  const fix = "sudo apt-get install qemu-system-x86 qemu-utils";
  try {
    const qemu = await findQemu();
    if ((await findProgram("qemu-img")) === undefined) {
      return failed(subject, `${qemu.version} at ${qemu.path}, but no qemu-img`, "sudo apt-get install qemu-utils");
    }
    return ok(subject, `${qemu.version} at ${qemu.path}`);
  } catch (error) {
    return failedBy(subject, error, fix);
  }
}

/** The jail's layers, one line each: what is missing makes QEMU easier to escape from, but does not stop sbx. */
export async function checkJail(): Promise<Check[]> {
  const tools = await findJailTools();
  return [await checkBubblewrap(tools), checkLimits(tools), checkAccount(tools), await checkSeccomp()];
}

async function checkBubblewrap({ bubblewrap }: JailTools): Promise<Check> {
  const subject = { id: "jail-namespaces", title: "Jail: namespaces" };
  if (bubblewrap === null) {
    return warning(
      subject,
      "bubblewrap is not installed: QEMU sees the host's files",
      "sudo apt-get install bubblewrap",
    );
  }
  try {
    // The same namespaces as QEMU gets (src/vm/jail.ts); an ordinary account needs a user namespace for them.
    const user = process.getuid?.() === 0 ? [] : ["--unshare-user"];
    const namespaces = [...user, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"];
    const files = ["--ro-bind", "/", "/", "--dev", "/dev"];
    await run(bubblewrap, [...namespaces, "--die-with-parent", ...files, "--", "/bin/true"], { timeout: DEADLINE_MS });
    return ok(subject, `bubblewrap at ${bubblewrap}: own files, processes and no network`);
  } catch (error) {
    const reason = (error as { stderr?: string }).stderr?.trim() ?? String(error);
    const fix = "allow user namespaces to this account, for example: sudo sysctl -w kernel.unprivileged_userns_clone=1";
    return failed(subject, `bubblewrap does not work here: ${reason}`, fix);
  }
}

function checkLimits({ prlimit }: JailTools): Check {
  const subject = { id: "jail-limits", title: "Jail: resource limits" };
  if (prlimit !== null) return ok(subject, `prlimit at ${prlimit}`);
  return warning(subject, "prlimit is not installed: QEMU has no limits", "sudo apt-get install util-linux");
}

function checkAccount({ setpriv }: JailTools): Check {
  const subject = { id: "jail-account", title: "Jail: account" };
  if (process.getuid?.() !== 0) return ok(subject, `QEMU runs as ${os.userInfo().username}, which is not root`);
  if (setpriv !== null) return ok(subject, `setpriv at ${setpriv}: QEMU runs as an account without rights`);
  return warning(subject, "setpriv is not installed: QEMU would run as root", "sudo apt-get install util-linux");
}

async function checkSeccomp(): Promise<Check> {
  const subject = { id: "jail-seccomp", title: "Jail: system calls" };
  const actions = await readFile("/proc/sys/kernel/seccomp/actions_avail", "utf8").catch(() => "");
  if (actions.includes("kill_process")) return ok(subject, "seccomp filters QEMU's system calls");
  return warning(subject, "the kernel has no seccomp filters", "boot a kernel with CONFIG_SECCOMP_FILTER");
}

/** Only needed to build images; with an image there, their absence is no fault. */
export async function checkBuildTools(): Promise<Check> {
  const subject = { id: "build-tools", title: "Image building" };
  const missing = await missingBuildTools();
  if (missing.length > 0) {
    const programs = missing.map((tool) => tool.program).join(", ");
    return warning(
      subject,
      `not installed: ${programs}`,
      `sudo apt-get install ${missing.map((tool) => tool.package).join(" ")}`,
    );
  }
  const range = process.getuid?.() === 0 || (await hasSubordinateIds());
  if (range) return ok(subject, "mmdebstrap and what it needs");
  const account = os.userInfo().username;
  const fix = `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${account}`;
  return warning(subject, `${account} has no subordinate ids`, fix);
}

/** Whether /etc/subuid and /etc/subgid give this account a range (subuid(5)). */
async function hasSubordinateIds(): Promise<boolean> {
  const { username, uid } = os.userInfo();
  const owners = new Set([username, String(uid)]);
  const texts = await Promise.all(["/etc/subuid", "/etc/subgid"].map((file) => readFile(file, "utf8").catch(() => "")));
  return texts.every((text) => text.split("\n").some((line) => owners.has(line.split(":")[0] ?? "")));
}
