/**
 * Where an organisation's runtime keeps things: a home of its own below the control plane's directory, with its own
 * database, disks, templates, secrets and sockets. Images are the user's, and read only. (Templates are not common:
 * those of a snapshot hold what is in it.)
 */
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import path from "node:path";
import { SbxError } from "../../errors.ts";
import { ORGANISATION_NAME, OWN_ORGANISATION } from "../../organisations.ts";
import { pathsBelow, shortSocketsPath, statePaths, type StatePaths } from "../paths.ts";

/** Directory of the control plane: the given one, or one beside the user's state. @throws SbxError `config_invalid` */
export function controlPlanePath(given?: string, env: NodeJS.ProcessEnv = process.env): string {
  return given === undefined ? path.join(statePaths(env).statePath, "server") : path.resolve(given);
}

/** @throws SbxError `usage` for what no organisation may be called */
export function organisationPaths(name: string, directory: string, own: StatePaths): StatePaths {
  if (!ORGANISATION_NAME.test(name) || name === OWN_ORGANISATION) {
    throw new SbxError("usage", `${JSON.stringify(name)} cannot be the name of an organisation with a home of its own`);
  }
  const home = path.join(directory, "organisations", name);
  const statePath = path.join(home, "state");
  const hash = createHash("sha256").update(home).digest("hex").slice(0, 8);
  return {
    ...pathsBelow(path.join(home, "data"), statePath),
    imageDataPath: own.imageDataPath,
    // What this machine can do is no secret, and takes a boot to find out.
    verdictPath: own.verdictPath,
    // Paths of sockets are short: next to the user's own, not below the home.
    socketsPath: shortSocketsPath(`${own.socketsPath}-${hash}`, statePath),
  };
}

/** Organisations that have a home on this machine; the user's own is always one. @param directory of the control plane */
export function listOrganisations(directory: string): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(path.join(directory, "organisations"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  return [
    OWN_ORGANISATION,
    ...names.filter((name) => ORGANISATION_NAME.test(name) && name !== OWN_ORGANISATION).sort(),
  ];
}
