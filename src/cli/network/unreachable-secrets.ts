/** Secrets that are of no use: their hosts are not among those that the sandbox may reach. */
import { extendPolicy } from "../../policy/build-policy.ts";
import { Policy } from "../../policy/policy.ts";
import { presetRules } from "../../policy/presets.ts";
import { renderSecretHost } from "../../policy/secret-host.ts";
import type { SecretHost } from "../../policy/spec.ts";
import type { NetworkSpec } from "../../runtime/types.ts";

const PORTS = { http: 80, https: 443 } as const;

/**
 * A sentence for each host that cannot be reached.
 *
 * @param storedHosts those of a secret that was asked for without any
 */
export function describeUnreachable(
  { policy: spec, secrets }: NetworkSpec,
  storedHosts: (name: string) => readonly SecretHost[],
): string[] {
  const policy = new Policy(extendPolicy(spec, presetRules(spec.mode)));
  return secrets.flatMap(({ name, hosts }) =>
    (hosts ?? storedHosts(name))
      .filter((host) => !isReachable(policy, host))
      .map((host) => {
        const pattern = `${host.host.includes(":") ? `[${host.host}]` : host.host}${host.port === null ? "" : `:${host.port}`}`;
        const allow = `--allow-net '${pattern}'`;
        return `the secret ${name} is for ${renderSecretHost(host)}, which the sandbox may not reach; add ${allow}`;
      }),
  );
}

/** A wildcard counts if a name below it can be reached. */
function isReachable(policy: Policy, { host, port, scheme }: SecretHost): boolean {
  const name = host.replace(/^\*\./, "any.");
  const named = policy.decideConnection({ host: name, port: port ?? PORTS[scheme] });
  if (named.verdict === "allow") return true;
  // Any port will do where the secret is for any: `--allow-net api.example.com:8443`.
  if (port === null && policy.decideName(name).verdict === "allow") return true;
  return (
    host !== name && policy.spec.rules.some((rule) => rule.verdict === "allow" && rule.host.endsWith(host.slice(1)))
  );
}
