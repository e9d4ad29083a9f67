/** Options that describe a new sandbox; shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import type { Lifetime, NetworkSpec, SandboxSpec } from "../../runtime/types.ts";
import { labelFlag } from "./common.ts";
import { parseCount } from "../parsers/count.ts";
import { parseLabels } from "../parsers/label.ts";
import { parseImageRef, parseSandboxName } from "../parsers/names.ts";
import { parseSize } from "../parsers/size.ts";
import { CPU_LIMITS, DISK_LIMITS, MEMORY_LIMITS } from "../settings/keys.ts";

const sizeFlag = Flags.custom<number, { limits: { minBytes: number; maxBytes: number } }>({
  helpValue: "SIZE",
  parse: async (text, _context, options) => parseSize(text, options.limits),
});

export const sandboxFlags = {
  name: Flags.string({
    char: "n",
    summary: "Name for the sandbox.",
    helpValue: "NAME",
    parse: async (text) => parseSandboxName(text),
  }),
  image: Flags.string({
    summary: "Image to start from.",
    helpValue: "IMAGE",
    parse: async (text) => parseImageRef(text),
  }),
  checkpoint: Flags.string({
    summary: "Go on from a checkpoint: image, machine, disk and network are the checkpoint's.",
    helpValue: "CHECKPOINT",
    exclusive: ["image", "memory", "cpus", "disk"],
  }),
  memory: sizeFlag({ char: "m", summary: "Memory, such as 1280MiB or 2G.", limits: MEMORY_LIMITS }),
  cpus: Flags.custom<number>({
    summary: "Virtual processors.",
    helpValue: "N",
    parse: async (text) => parseCount(text, CPU_LIMITS),
  })(),
  disk: sizeFlag({ summary: "Size of the disk, such as 10GB.", limits: DISK_LIMITS }),
  label: labelFlag("Label for the sandbox."),
};

export interface SandboxFlagValues {
  image?: string | undefined;
  checkpoint?: string | undefined;
  memory?: number | undefined;
  cpus?: number | undefined;
  disk?: number | undefined;
  name?: string | undefined;
  label?: string[] | undefined;
}

/** What other groups of options say. */
export interface SpecParts {
  env: Record<string, string>;
  network: NetworkSpec | undefined;
  folders: Pick<SandboxSpec, "copies" | "mounts">;
  disks: Pick<SandboxSpec, "root" | "volumes">;
}

/** The sandbox that the options describe. What they leave open, the runtime takes from its settings. */
export function toSandboxSpec(
  flags: SandboxFlagValues,
  lifetime: Lifetime,
  { env, network, folders, disks }: SpecParts,
): SandboxSpec {
  const labels = parseLabels(flags.label ?? []);
  return {
    lifetime,
    ...(flags.name === undefined ? {} : { name: flags.name }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.checkpoint === undefined ? {} : { checkpoint: flags.checkpoint }),
    ...(flags.memory === undefined ? {} : { memoryBytes: flags.memory }),
    ...(flags.cpus === undefined ? {} : { cpus: flags.cpus }),
    ...(flags.disk === undefined ? {} : { diskBytes: flags.disk }),
    ...(Object.keys(env).length === 0 ? {} : { env }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(network === undefined ? {} : { network }),
    ...folders,
    ...disks,
  };
}
