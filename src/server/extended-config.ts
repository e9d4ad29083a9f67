/**
 * What sbx's own client adds to the configuration of a new sandbox (protocol/control-config.ts): parsed as strictly as it
 * is written, and judged by the quotas of its organisation like the rest.
 */
import { X509Certificate } from "node:crypto";
import { buildPolicy, draftRule } from "../policy/build-policy.ts";
import { readHost } from "../policy/host-name.ts";
import { parsePathGlob } from "../policy/path-glob.ts";
import type { RuleDraft } from "../policy/spec.ts";
import { configExtension, type ConfigExtension, type NetworkExtension } from "../protocol/control-config.ts";
import { isMountPath } from "../protocol/disk-calls.ts";
import type { NetworkSpec, SandboxSpec, SecretRequest } from "../runtime/types.ts";
import { ApiError } from "./api-error.ts";
import type { Quotas } from "./config.ts";
import { isPrivateHost } from "./private-hosts.ts";

/** A sandbox's disk has so many bytes, or several times as many. */
const DISK_STEP_BYTES = 1_000_000_000;

/** @throws ApiError `INVALID_CONFIG` */
export function parseExtension(value: unknown): ConfigExtension | undefined {
  if (value === undefined) return undefined;
  const parsed = configExtension().safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(`${issue?.path.map(String).join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}

/**
 * The part of a specification that the extension says.
 *
 * @param secrets what the published part of the configuration grants
 * @throws ApiError `INVALID_CONFIG`
 */
export function extensionSpec(
  extension: ConfigExtension,
  secrets: readonly SecretRequest[],
  quotas: Quotas,
): Partial<SandboxSpec> {
  const { name, image, checkpoint, root, cpus, diskBytes, lifetimeMs, volumes, network, budget } = extension;
  if (cpus !== undefined && cpus > quotas.cpus) throw invalid(`cpus: at most ${quotas.cpus}, not ${cpus}`);
  // In few sizes: each one needs templates of its own.
  const wholeBytes = diskBytes === undefined ? undefined : Math.ceil(diskBytes / DISK_STEP_BYTES) * DISK_STEP_BYTES;
  if (wholeBytes !== undefined && wholeBytes > quotas.maxDisk) {
    throw invalid(`diskBytes: at most ${quotas.maxDisk}, in whole GB, not ${wholeBytes}`);
  }
  for (const { path } of volumes ?? []) {
    if (!isMountPath(path)) throw invalid(`volumes: ${JSON.stringify(path)} is not an absolute path other than /`);
  }
  return {
    ...(name === undefined ? {} : { name }),
    ...(image === undefined ? {} : { image }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(root === undefined ? {} : { root }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(wholeBytes === undefined ? {} : { diskBytes: wholeBytes }),
    ...(volumes === undefined ? {} : { volumes }),
    ...(budget === undefined ? {} : { budget }),
    ...(network === undefined ? {} : { network: networkSpec(network, secrets, quotas) }),
    ...(lifetimeMs === undefined
      ? {}
      : { lifetime: { kind: "duration", ms: Math.min(lifetimeMs, quotas.lifetime) } as const }),
  };
}

function networkSpec(network: NetworkExtension, secrets: readonly SecretRequest[], quotas: Quotas): NetworkSpec {
  const { mode, rules, onLeak, inspect, resolve, roots } = network;
  for (const { host, address } of resolve) {
    const [reading, target] = [readHost(host), readHost(address)];
    if (reading.kind === "refused" || reading.host !== host) throw invalid(`resolve: ${quote(host)} is not a host`);
    if (target.kind !== "address" || target.host !== address) throw invalid(`resolve: ${quote(address)} is no address`);
    requirePublic(address, quotas);
  }
  for (const pem of roots) requireCertificate(pem);
  return {
    policy: buildPolicy({ mode, rules: rules.map((rule) => readRule(rule, quotas)), expressions: [] }),
    ...{ secrets, onLeak, inspect, hookPath: null, resolve, extraRootsPem: roots },
  };
}

function readRule(rule: NetworkExtension["rules"][number], quotas: Quotas): RuleDraft {
  const { verdict, pattern, methods, paths } = rule;
  const draft = draftRule(verdict, pattern, { kind: "api" });
  if (verdict === "allow") requirePublic(draft.host, quotas);
  for (const path of paths ?? []) parsePathGlob(path);
  return { ...draft, methods, paths };
}

function requirePublic(host: string, { privateNetwork }: Quotas): void {
  if (privateNetwork || !isPrivateHost(host)) return;
  throw invalid(`${quote(host)} is not a public address, which this server does not open`);
}

function requireCertificate(pem: string): void {
  try {
    new X509Certificate(pem);
  } catch {
    throw invalid("roots: what is given is no certificate in PEM");
  }
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 128));
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_CONFIG", `sbx: ${message}`);
}
