/**
 * The configuration of a new sandbox, as the header of a creation has it. A server of the published API alone is sent what
 * that can say; what it cannot say is an error, never left out.
 */
import { renderHostPattern } from "../../policy/render.ts";
import { renderSecretHost } from "../../policy/secret-host.ts";
import {
  CONFIG_KEY,
  MAX_CONFIG_BYTES,
  type ConfigExtension,
  type NetworkExtension,
} from "../../protocol/control-config.ts";
import type { SecretHostRecord } from "../../protocol/net-launch.ts";
import { DEFAULT_SETTINGS } from "../defaults.ts";
import { SbxError } from "../errors.ts";
import type { NetworkSpec, SandboxSpec } from "../types.ts";
import { unsupported } from "./unsupported.ts";

const MIB = 1024 ** 2;

/** A secret with the value that goes to the server with the request, and is not kept there. */
export interface GrantedSecret {
  name: string;
  hosts: readonly SecretHostRecord[];
  value: string;
}

interface PublishedConfig {
  memory_mb?: number;
  volumes?: { volume: string; path: string }[];
  stop_at_ms?: number;
  labels?: Record<string, string>;
  root?: { volume: string };
  allow_net?: string[];
  secrets?: Record<string, { hosts: string[]; value: string }>;
  env?: Record<string, string>;
  [CONFIG_KEY]?: ConfigExtension;
}

/** As the header's text. @param now epoch `ms` */
export function encodeConfig(config: PublishedConfig): string {
  // The protocol has characters as bytes of Latin-1: what is not ASCII is written as JSON escapes it.
  const text = JSON.stringify(config).replaceAll(/[\u0080-\uffff]/g, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  const encoded = Buffer.from(text, "latin1").toString("base64");
  if (encoded.length <= MAX_CONFIG_BYTES) return encoded;
  throw new SbxError(
    "usage",
    `what the sandbox is to have takes ${encoded.length} bytes; a server takes ${MAX_CONFIG_BYTES}`,
    {
      hint: "give it fewer secrets, certificates or variables, or copy them into it afterwards",
    },
  );
}

/** For a server of sbx's own. @param ofCheckpoint values of the secrets that the checkpoint has */
export function extendedConfig(
  spec: SandboxSpec,
  secrets: readonly GrantedSecret[],
  ofCheckpoint: Readonly<Record<string, string>> = {},
): PublishedConfig {
  refuseOwnMachine(spec);
  const { name, image, checkpoint, root, cpus, diskBytes, lifetime, volumes = [], network, env } = spec;
  const hasOwnNetwork = checkpoint !== undefined && network === undefined;
  return {
    ...common(spec, secrets),
    ...(spec.memoryBytes === undefined ? {} : { memory_mb: Math.floor(spec.memoryBytes / MIB) }),
    ...(env === undefined ? {} : { env }),
    [CONFIG_KEY]: {
      ...given({ name, image, checkpoint, root, cpus, diskBytes }),
      ...(lifetime.kind === "duration" ? { lifetimeMs: lifetime.ms } : {}),
      ...(volumes.length === 0 ? {} : { volumes: volumes.map((volume) => ({ ...volume })) }),
      ...(spec.budget === undefined ? {} : { budget: [...spec.budget] }),
      ...(Object.keys(ofCheckpoint).length === 0 ? {} : { secretValues: { ...ofCheckpoint } }),
      ...(hasOwnNetwork ? {} : { network: networkExtension(network) }),
    },
  };
}

/**
 * For a server that has the published API alone. Variables are set after the creation, as its own SDK does.
 *
 * @throws SbxError `unsupported` naming what that API has no words for
 */
export function publishedConfig(
  spec: SandboxSpec,
  secrets: readonly GrantedSecret[],
  { server, now }: { server: string; now: number },
): PublishedConfig {
  refuseOwnMachine(spec);
  const { name, image, checkpoint, root, cpus, diskBytes, lifetime, volumes = [], network } = spec;
  const { memoryBytes = DEFAULT_SETTINGS.memoryBytes } = spec;
  const refuse = (what: string, hint?: string): never => {
    throw unsupported(`${server} has only the published API, which has no ${what}`, hint);
  };
  if (name !== undefined) refuse("names of sandboxes", "leave --name out, and call it by its id");
  if (image !== undefined) refuse("choice of images", "leave --image out");
  if (checkpoint !== undefined) refuse("checkpoints");
  if (spec.budget !== undefined) refuse("budgets", "leave --max-cpu-time and --max-cost out");
  if (cpus !== undefined && cpus !== DEFAULT_SETTINGS.cpus) refuse("choice of processors", "leave --cpus out");
  if (diskBytes !== undefined && diskBytes !== DEFAULT_SETTINGS.diskBytes) {
    refuse("choice of the disk's size", "leave --disk out, or use a volume");
  }
  if (volumes.some(({ access }) => access === "read-only")) refuse("read-only volumes", "attach it read-write");
  const allowed = publishedPatterns(network, secrets.length > 0, refuse);
  return {
    ...common(spec, secrets),
    memory_mb: Math.floor(memoryBytes / MIB),
    ...(root === undefined ? {} : { root: { volume: root } }),
    volumes: volumes.map(({ volume, path }) => ({ volume, path })),
    ...(lifetime.kind === "duration" ? { stop_at_ms: now + lifetime.ms } : {}),
    ...(allowed === null ? {} : { allow_net: allowed }),
  };
}

function common(spec: SandboxSpec, secrets: readonly GrantedSecret[]): PublishedConfig {
  const { labels } = spec;
  const granted = secrets.map(
    ({ name, hosts, value }) => [name, { hosts: hosts.map(renderSecretHost), value }] as const,
  );
  return {
    ...(labels === undefined ? {} : { labels }),
    ...(granted.length === 0 ? {} : { secrets: Object.fromEntries(granted) }),
  };
}

/** What is of this machine, and of no use elsewhere; code of the user's is not run on a server outside of a sandbox. */
function refuseOwnMachine({ mounts = [], network }: SandboxSpec): void {
  const [mount] = mounts;
  if (mount !== undefined) {
    throw unsupported(
      `'${mount.hostPath}' of this machine cannot be mounted in a sandbox on a server`,
      `sbx create --copy ${mount.hostPath}`,
    );
  }
  if (network?.hookPath != null) throw unsupported("hooks do not run on a server", "leave --hook out");
  if ((network?.policy.expressions.length ?? 0) > 0) {
    throw unsupported("rules in JavaScript do not run on a server", "write rules of hosts, methods and paths");
  }
}

function networkExtension(network: NetworkSpec | undefined): NetworkExtension {
  if (network === undefined) {
    return { mode: "none", rules: [], onLeak: "block", inspect: false, resolve: [], roots: [] };
  }
  const { policy, onLeak, inspect, resolve, extraRootsPem } = network;
  return {
    mode: policy.mode,
    rules: policy.rules.map(({ verdict, host, ports, methods, paths }) => ({
      ...{ verdict, pattern: renderHostPattern(host, ports) },
      methods: methods === null ? null : [...methods],
      paths: paths === null ? null : [...paths],
    })),
    ...{ onLeak, inspect },
    resolve: resolve.map((one) => ({ ...one })),
    roots: [...extraRootsPem],
  };
}

/** The published list of what may be reached; `null` for everything that is public. */
function publishedPatterns(
  network: NetworkSpec | undefined,
  hasSecrets: boolean,
  refuse: (what: string, hint?: string) => never,
): string[] | null {
  if (network === undefined) return [];
  const { policy, onLeak, inspect, resolve, extraRootsPem } = network;
  const { mode, rules } = policy;
  if (mode === "balanced") refuse("list of usual hosts", "name the hosts: --allow-net HOST");
  if (inspect) refuse("inspection of all connections");
  if (resolve.length > 0) refuse("addresses for names (--resolve)");
  if (extraRootsPem.length > 0) refuse("certificates of your own (--ca-file)");
  // A placeholder is worth nothing, but who asked for it to be blocked has to know that it is not.
  if (hasSecrets && onLeak !== "pass") refuse("check of where placeholders go", "--on-leak pass");
  if (mode === "open" && rules.length > 0) refuse("rules beside an open network");
  for (const { verdict, methods, paths, ports, host } of rules) {
    if (verdict === "deny") refuse("rules that deny");
    if (methods !== null || paths !== null) refuse("rules by method or path");
    if (host.includes("/")) refuse("ranges of addresses");
    if (ports !== null && (ports.length !== 1 || ports[0]?.first !== ports[0]?.last))
      refuse("rules with several ports");
  }
  return mode === "open" ? null : rules.map(({ host, ports }) => publishedPattern(host, ports));
}

/** Addresses of IPv6 are always in brackets there. */
function publishedPattern(host: string, ports: Parameters<typeof renderHostPattern>[1]): string {
  return ports === null && host.includes(":") ? `[${host}]` : renderHostPattern(host, ports);
}

function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
