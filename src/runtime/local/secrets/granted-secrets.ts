/** The values of the secrets that a new sandbox is given: stored ones first, then the caller's environment. */
import { renderSecretHost } from "../../../policy/secret-host.ts";
import type { SecretHostRecord } from "../../../protocol/net-launch.ts";
import type { SecretVault, StoredSecret } from "../../../store/secrets/vault.ts";
import { SbxError } from "../../errors.ts";
import type { SecretRequest, SecretSource } from "../../types.ts";
import { coversHost } from "./secret-hosts.ts";
import { readSecretSource, type SourceReading } from "./secret-sources.ts";

export interface GrantedSecret {
  name: string;
  hosts: readonly SecretHostRecord[];
  value: string;
}

/**
 * @throws SbxError `secret_not_found` for one that is nowhere, `usage` for a host that a stored secret is not for,
 *   `secret_unreadable`, `secrets_broken`
 */
export async function grantSecrets(
  requests: readonly SecretRequest[],
  vault: SecretVault,
  reading: SourceReading,
): Promise<GrantedSecret[]> {
  if (requests.length === 0) return [];
  const { given = {} } = reading;
  const isGiven = (name: string): boolean => Object.hasOwn(given, name);
  const lookedUp = requests.filter(({ name }) => !isGiven(name));
  const stored = new Map(lookedUp.length === 0 ? [] : (await vault.list()).map((secret) => [secret.name, secret]));
  // All names and hosts before any value is read: a command may ask the user something.
  const granted = requests.map((request) => ({
    name: request.name,
    hosts: isGiven(request.name) ? givenHosts(request) : hostsOf(request, stored.get(request.name), reading),
  }));
  const sources =
    lookedUp.length === 0 ? new Map<string, SecretSource>() : await vault.open(lookedUp.map(({ name }) => name));
  const result: GrantedSecret[] = [];
  for (const { name, hosts } of granted) {
    const value = isGiven(name) ? given[name] : undefined;
    const source: SecretSource =
      value === undefined ? (sources.get(name) ?? { kind: "env", variable: name }) : { kind: "value", value };
    result.push({ name, hosts, value: await readSecretSource(name, source, reading) });
  }
  return result;
}

function givenHosts({ name, hosts }: SecretRequest): readonly SecretHostRecord[] {
  if (hosts !== null && hosts.length > 0) return hosts;
  throw new SbxError("usage", `the secret ${name} was given without a host that it belongs to`);
}

function hostsOf(
  { name, hosts }: SecretRequest,
  stored: StoredSecret | undefined,
  { environment }: SourceReading,
): readonly SecretHostRecord[] {
  if (stored === undefined) {
    if (hosts === null) throw notFound(name, "HOST", "none of this name is stored");
    if (Object.hasOwn(environment, name) && environment[name] !== undefined) return hosts;
    throw notFound(
      name,
      hosts[0] === undefined ? "HOST" : renderSecretHost(hosts[0]),
      "it is neither stored nor set here",
    );
  }
  const foreign = hosts?.find((host) => !coversHost(stored.hosts, host));
  if (foreign === undefined) return hosts ?? stored.hosts;
  const known = stored.hosts.map(renderSecretHost);
  const options = [...known, renderSecretHost(foreign)].map((host) => `--host '${host}'`).join(" ");
  throw new SbxError(
    "usage",
    `the secret ${name} is stored for ${known.join(", ")}, not for ${renderSecretHost(foreign)}`,
    {
      hint: `sbx secret set ${name} ${options}`,
    },
  );
}

function notFound(name: string, host: string, why: string): SbxError {
  return new SbxError("secret_not_found", `there is no secret ${name}: ${why}`, {
    hint: `sbx secret set ${name} --host ${host}`,
  });
}
