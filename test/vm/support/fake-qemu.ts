/** Programs that stand in for QEMU: they know its version, and then do something else. */
import { chmod, writeFile } from "node:fs/promises";
import { runHost } from "./program.ts";

/** Writes a script for SBX_QEMU that answers `--version` as the host's own QEMU and otherwise runs `line`. */
export async function writeFakeQemu(file: string, line: string): Promise<string> {
  const real = (await runHost(["sh", "-c", "command -v qemu-system-$(uname -m | sed s/arm64/aarch64/)"])).stdout.trim();
  await writeFile(file, `#!/bin/sh\n[ "$1" = --version ] && exec ${real} --version\nQEMU=${real}\n${line}\n`);
  await chmod(file, 0o755);
  return file;
}
