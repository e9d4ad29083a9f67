/** The organisations of a control plane on this machine: one embedded runtime each. */
import type { Settings } from "../../defaults.ts";
import { OWN_ORGANISATION, type OrganisationRuntime, type OrganisationRuntimes } from "../../organisations.ts";
import { openLocalRuntime } from "../index.ts";
import { statePaths } from "../paths.ts";
import { pinImages } from "./image-pins.ts";
import { organisationPaths } from "./organisation-paths.ts";

/** @param directory of the control plane */
export function localOrganisations(settings: Settings, directory: string): OrganisationRuntimes {
  const runtimes = new Map<string, Promise<OrganisationRuntime>>();
  const start = async (name: string): Promise<OrganisationRuntime> => {
    if (name === OWN_ORGANISATION) return openLocalRuntime(settings);
    const paths = organisationPaths(name, directory, statePaths());
    pinImages(paths);
    return openLocalRuntime(settings, paths);
  };
  return {
    async open(name) {
      const known = runtimes.get(name);
      if (known !== undefined) return known;
      const opening = start(name);
      runtimes.set(name, opening);
      // One that could not be opened is tried again by whoever asks next.
      opening.catch(() => runtimes.delete(name));
      return opening;
    },
    async [Symbol.asyncDispose]() {
      const opened = await Promise.allSettled(runtimes.values());
      runtimes.clear();
      for (const result of opened) if (result.status === "fulfilled") await result.value[Symbol.asyncDispose]();
    },
  };
}
