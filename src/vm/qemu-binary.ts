/** Finds the QEMU system emulator of this machine's architecture and asks it for its version. */
import { execFile } from "node:child_process";
import { access, constants } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { SbxError } from "../runtime/errors.ts";

const run = promisify(execFile);

/** The oldest QEMU whose `microvm`, JSON device syntax and `x-ignore-shared` sbx relies on. */
export const MINIMUM_QEMU_MAJOR = 7;

export interface QemuBinary {
  path: string;
  /** As QEMU prints it, distribution suffix included: device state is only exchanged between equal versions. */
  version: string;
  major: number;
  minor: number;
}

/** Where a program of this name is on PATH, or undefined. */
export async function findProgram(name: string, pathVariable = process.env.PATH ?? ""): Promise<string | undefined> {
  for (const directory of pathVariable.split(path.delimiter)) {
    if (!path.isAbsolute(directory)) continue;
    const candidate = path.join(directory, name);
    try {
      await access(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here: the next directory of PATH may have it.
    }
  }
  return undefined;
}

/** @throws SbxError `qemu_missing` with the package to install */
export async function locateQemu(override = process.env.SBX_QEMU): Promise<string> {
  const name = process.arch === "arm64" ? "qemu-system-aarch64" : "qemu-system-x86_64";
  // Absolute: the supervisor, which starts it, has another working directory.
  if (override !== undefined && override !== "") return path.resolve(override);
  const binary = await findProgram(name);
  if (binary !== undefined) return binary;
  throw new SbxError("qemu_missing", `QEMU (${name}) was not found on PATH`, { hint: installHint() });
}

/** @throws SbxError `qemu_missing` with the package to install */
export async function findQemu(override = process.env.SBX_QEMU): Promise<QemuBinary> {
  const binary = await locateQemu(override);
  let output: string;
  try {
    output = (await run(binary, ["--version"], { timeout: 10_000 })).stdout;
  } catch (error) {
    throw new SbxError("qemu_missing", `QEMU at ${binary} does not run`, { cause: error, hint: installHint() });
  }
  return { path: binary, ...parseVersion(output, binary) };
}

function installHint(): string {
  return `sudo apt-get install ${process.arch === "arm64" ? "qemu-system-arm" : "qemu-system-x86"} qemu-utils`;
}

/** Parses the first line of `qemu-system-* --version`. */
export function parseVersion(output: string, binary: string): Omit<QemuBinary, "path"> {
  const match = /version (\d+)\.(\d+)\S*(?: \(([^)]*)\))?/.exec(output);
  if (match === null) throw new SbxError("qemu_missing", `${binary} does not say its version: ${output.slice(0, 80)}`);
  const major = Number(match[1]);
  if (major < MINIMUM_QEMU_MAJOR) {
    throw new SbxError(
      "qemu_missing",
      `QEMU ${match[1]}.${match[2]} is too old; sbx needs ${MINIMUM_QEMU_MAJOR} or newer`,
    );
  }
  return { version: match[0].slice("version ".length), major, minor: Number(match[2]) };
}
