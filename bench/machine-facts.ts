/** The machine that the figures are of. Figures without it mean nothing. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, loadavg, release, totalmem } from "node:os";
import path from "node:path";
import { z } from "zod";

export interface MachineFacts {
  date: string;
  cpu: string;
  cores: number;
  memoryBytes: number;
  hostKernel: string;
  /** Load of the last minute when the run began: of others, since nothing was measured yet. */
  load: number;
  accelerator: string;
  qemu: string;
  node: string;
  sbx: string;
}

const verdictSchema = z.object({ accelerator: z.object({ name: z.string(), cpuModel: z.string() }) });

/** @param statePath where the verdict on the accelerator was put by `setup` */
export function machineFacts(root: string, statePath: string, qemuVersion: string): MachineFacts {
  const { accelerator } = verdictSchema.parse(
    JSON.parse(readFileSync(path.join(statePath, "accelerator.json"), "utf8")),
  );
  return {
    date: new Date().toISOString(),
    cpu: /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? process.arch,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    hostKernel: release(),
    load: loadavg()[0] ?? Number.NaN,
    accelerator: `${accelerator.name} (${accelerator.cpuModel.split(",")[0] ?? ""})`,
    qemu: qemuVersion,
    node: process.version,
    sbx: revision(root),
  };
}

function revision(root: string): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { cwd: root, encoding: "utf8" }).trim();
  } catch {
    return "not from a repository";
  }
}
