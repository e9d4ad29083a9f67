/** All options that say what a new sandbox is, and the specification that comes of them; shared by `create` and `run`. */
import type { Lifetime, SandboxSpec } from "../../runtime/types.ts";
import type { NetworkFlagValues } from "../network/flag-values.ts";
import type { HostEnvironment } from "../parsers/env-pair.ts";
import { budgetFlags, toBudget, type BudgetFlagValues } from "./budget.ts";
import { diskFlags, toDiskSpec } from "./disks.ts";
import { folderFlags, type FolderFlagValues, readFolders } from "./folders.ts";
import { environmentFlags, readEnvironment } from "./guest-command.ts";
import { networkFlags, readNetwork } from "./network.ts";
import { sandboxFlags, type SandboxFlagValues, toSandboxSpec } from "./sandbox.ts";

export const newSandboxFlags = {
  ...sandboxFlags,
  ...diskFlags,
  ...folderFlags,
  ...networkFlags,
  ...budgetFlags,
  ...environmentFlags,
};

export type NewSandboxFlagValues = SandboxFlagValues &
  Parameters<typeof toDiskSpec>[0] &
  FolderFlagValues &
  NetworkFlagValues &
  BudgetFlagValues &
  Parameters<typeof readEnvironment>[0];

/** @throws SbxError `usage`, `config_invalid` */
export async function readNewSandbox(
  flags: NewSandboxFlagValues,
  lifetime: Lifetime,
  { cwd, env: hostEnvironment }: { cwd: string; env: HostEnvironment },
): Promise<SandboxSpec> {
  const env = readEnvironment(flags, hostEnvironment);
  const network = await readNetwork(flags, { cwd, variables: env });
  const folders = readFolders(flags, cwd);
  const spec = toSandboxSpec(flags, lifetime, { env, network, folders, disks: toDiskSpec(flags) });
  return { ...spec, ...toBudget(flags) };
}
