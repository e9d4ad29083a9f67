/**
 * What a new sandbox's supervisor is told about its network: what is no secret in its launch, values and proxies over
 * its socket.
 */
import { extendPolicy } from "../../../policy/build-policy.ts";
import { presetRules, type Registry } from "../../../policy/presets.ts";
import type { PolicySpec } from "../../../policy/spec.ts";
import { proxySettings, type ProxySettings } from "../../../policy/proxy-settings.ts";
import { MAX_SECRETS_BODY_BYTES, type SecretsCall } from "../../../protocol/net-calls.ts";
import type { EgressLaunch } from "../../../protocol/net-launch.ts";
import type { SecretVault } from "../../../store/secrets/vault.ts";
import { SbxError } from "../../errors.ts";
import type { CallerEnvironment, CallOptions, NetworkSpec } from "../../types.ts";
import { hostRoots } from "./host-roots.ts";
import { grantSecrets, type GrantedSecret } from "../secrets/granted-secrets.ts";

export interface NetworkLaunch {
  egress: EgressLaunch;
  /** What the supervisor is told over its socket, as the body of the call; `null` where there is nothing. */
  settings: string | null;
}

const NO_NETWORK: NetworkSpec = {
  policy: { mode: "none", rules: [], expressions: [] },
  secrets: [],
  onLeak: "block",
  inspect: false,
  hookPath: null,
  resolve: [],
  extraRootsPem: [],
};

/**
 * Reads the values and puts together what is to be said.
 *
 * @param findRoots roots that this machine's programs trust beside their distribution's
 * @throws SbxError what a secret without a value is (granted-secrets.ts), `config_invalid` for a proxy that is none,
 *   `usage` for more than a supervisor takes
 */
export async function prepareNetwork(
  vault: SecretVault,
  spec: NetworkSpec = NO_NETWORK,
  options: CallOptions & CallerEnvironment = {},
  findRoots: typeof hostRoots = hostRoots,
): Promise<NetworkLaunch> {
  const { environment = {}, secretValues, signal } = options;
  const proxy = proxySettings(environment);
  const granted = await grantSecrets(spec.secrets, vault, {
    ...{ environment, signal },
    ...(secretValues === undefined ? {} : { given: secretValues }),
  });
  const { policy, onLeak, inspect, hookPath, resolve } = spec;
  const extraRootsPem = [...spec.extraRootsPem, ...findRoots(environment)];
  const hasSettings = granted.length > 0 || proxy !== null || extraRootsPem.length > 0;
  // A sandbox that reaches nothing yet need not wait for what would only matter if it did.
  const awaitsSettings = hasSettings && (granted.length > 0 || allowsAnything(policy));
  const egress: EgressLaunch = {
    ...{ policy, onLeak, inspect, hookPath, resolve, awaitsSettings },
    secrets: granted.map(({ name, hosts }) => ({ name, hosts })),
  };
  return { egress, settings: hasSettings ? settingsBody(granted, proxy, extraRootsPem) : null };
}

function allowsAnything({ mode, rules, expressions }: PolicySpec): boolean {
  return mode !== "none" || expressions.length > 0 || rules.some(({ verdict }) => verdict === "allow");
}

/** The policy with the rules of its preset at the end; some of them are what the image's own tools are set up with. */
export function withPreset(policy: PolicySpec, registries: readonly Registry[]): PolicySpec {
  return extendPolicy(policy, presetRules(policy.mode, { registries }));
}

function settingsBody(
  granted: readonly GrantedSecret[],
  proxy: ProxySettings | null,
  extraRootsPem: readonly string[],
): string {
  const call: SecretsCall = {
    values: Object.fromEntries(granted.map(({ name, value }) => [name, value])),
    proxy: proxy === null ? null : { ...proxy, noProxy: [...proxy.noProxy] },
    extraRootsPem: [...extraRootsPem],
  };
  const body = JSON.stringify(call);
  if (Buffer.byteLength(body) > MAX_SECRETS_BODY_BYTES) {
    throw new SbxError("usage", "the secrets and extra roots of this sandbox are more than 1 MiB together", {
      hint: "give --ca-file only the certificates that are needed",
    });
  }
  return body;
}
