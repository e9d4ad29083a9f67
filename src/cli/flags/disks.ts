/** Options about volumes and snapshots; those of a new sandbox are shared by `create` and `run`. */
import * as Flags from "@oclif/core/flags";
import type { SandboxSpec } from "../../runtime/types.ts";
import { parseSize } from "../parsers/size.ts";
import { parseDiskRef, parseVolumeMount } from "../parsers/volume-mount.ts";

/** What the local runtime makes (src/runtime/local/disks/volume-file-system.ts), `bytes`. */
export const CAPACITY_LIMITS = { minBytes: 16 * 1024 ** 2, maxBytes: 64 * 1024 ** 4 };

export const diskFlags = {
  volume: Flags.string({
    summary: "Have a volume there; with :ro it can only be read.",
    helpValue: "NAME:/PATH[:ro]",
    multiple: true,
    multipleNonGreedy: true,
    parse: async (text) => {
      parseVolumeMount(text);
      return text;
    },
  }),
  root: Flags.string({
    summary: "Start from a snapshot (writes are gone afterwards) or a bootable volume (writes stay).",
    helpValue: "NAME",
    parse: async (text) => parseDiskRef(text),
    exclusive: ["image"],
  }),
};

export const capacityFlag = Flags.custom<number>({
  summary: "Size, such as 10GB.",
  helpValue: "SIZE",
  parse: async (text) => parseSize(text, CAPACITY_LIMITS),
});

export interface DiskFlagValues {
  volume?: string[] | undefined;
  root?: string | undefined;
}

/** What the options say about a new sandbox's disks. */
export function toDiskSpec(flags: DiskFlagValues): Pick<SandboxSpec, "root" | "volumes"> {
  return {
    ...(flags.root === undefined ? {} : { root: flags.root }),
    ...(flags.volume === undefined ? {} : { volumes: flags.volume.map(parseVolumeMount) }),
  };
}
