/** The context of a command: what it was told, or what the environment or the user's file says. */
import { chooseContext, type ChosenContext } from "../../runtime/contexts/choose-context.ts";
import { contextsPath } from "../../runtime/contexts/contexts-path.ts";

export type { ChosenContext };

/**
 * @param named of the option `--context`: a name or an address
 * @throws SbxError `context_not_found`, `usage`, `config_invalid`
 */
export async function findContext(
  env: Readonly<Record<string, string | undefined>>,
  named: string | undefined,
): Promise<ChosenContext> {
  return chooseContext({ env, filePath: contextsPath(env), named });
}

/** For a person, before a command that works elsewhere. */
export function contextNotice({ name, source, endpoints }: ChosenContext): string {
  const where = endpoints?.endpoint ?? "this machine";
  const organisation = endpoints?.organisation == null ? "" : `, organisation ${endpoints.organisation}`;
  const why = source === "environment" ? ", of SBX_CONTEXT" : "";
  return `context ${name} (${where}${organisation}${why})`;
}

/** The same for secrets, of which a server keeps none. */
export function secretsNotice({ name }: ChosenContext): string {
  return `secrets are kept on this machine, also for the context ${name}`;
}
