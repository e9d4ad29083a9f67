/** All checks that can be made without starting a machine, in the order in which `sbx doctor` prints them. */
import type { CallOptions } from "../../runtime.ts";
import type { Check } from "../../types.ts";
import type { LocalImages } from "../images.ts";
import { checkDisk, checkHost, checkMemory, checkNode } from "./host-machine.ts";
import { checkBuildTools, checkJail, checkQemu } from "./host-programs.ts";
import { checkImage } from "./image-check.ts";
import { checkAgent, checkDataDirectory, checkOnPath } from "./installation.ts";

export interface HostChecksOptions extends CallOptions {
  dataPath: string;
  images: LocalImages;
  /** Image of the settings; `null` for the default one. */
  image: string | null;
  /** Read every byte of the image. */
  verify?: boolean;
}

export async function hostChecks(options: HostChecksOptions): Promise<Check[]> {
  const [qemu, jail, buildTools, image, agent, data, disk, onPath] = await Promise.all([
    checkQemu(),
    checkJail(),
    checkBuildTools(),
    checkImage(options.images, options.image, options),
    checkAgent(),
    checkDataDirectory(options.dataPath),
    checkDisk(options.dataPath),
    checkOnPath(),
  ]);
  return [checkHost(), checkNode(), qemu, ...jail, agent, image, buildTools, data, disk, checkMemory(), onPath];
}
