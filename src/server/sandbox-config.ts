/**
 * The configuration header of a creation, as the SDK for JavaScript sends it and, with some differences, the one for
 * Python. It is a client's: parsed here once, against the quotas of its organisation. Unknown keys are ignored, as the
 * protocol wants.
 */
import { z } from "zod";
import { draftRule, buildPolicy } from "../policy/build-policy.ts";
import { parseSecretHost } from "../policy/secret-host.ts";
import type { RuleDraft } from "../policy/spec.ts";
import { isMountPath } from "../protocol/disk-calls.ts";
import { CONFIG_KEY, type ConfigExtension } from "../protocol/control-config.ts";
import { MAX_PATTERNS_PER_CALL, MAX_SECRETS, SECRET_NAME } from "../protocol/net-calls.ts";
import { secretValueFault } from "../protocol/secret-value.ts";
import { SbxError } from "../runtime/errors.ts";
import type { Lifetime, NetworkSpec, SandboxSpec } from "../runtime/types.ts";
import { ApiError } from "./api-error.ts";
import type { Quotas } from "./config.ts";
import { extensionSpec, parseExtension } from "./extended-config.ts";
import { isPrivateHost } from "./private-hosts.ts";
import { readDuration } from "./units.ts";

export const CONFIG_HEADER = "x-deno-sandbox-config";

const MIB = 1024 ** 2;
const DEFAULT_MEMORY_MB = 1280;
/** Memory is given in such steps, MiB. */
const MEMORY_STEP_MB = 256;
const MAX_LABELS = 5;
const MAX_VOLUMES = 16;
const MAX_VARIABLES = 1000;

const bytes = (max: number) =>
  z.string().refine((text) => Buffer.byteLength(text) <= max, { message: `must have at most ${max} bytes` });
const limitedRecord = <T extends z.ZodType>(key: z.ZodString, value: T, max: number, what: string) =>
  z.record(key, value).refine((record) => Object.keys(record).length <= max, { message: `at most ${max} ${what}` });
const reference = z.string().min(1).max(256);

const configSchema = z.object({
  memory_mb: z.int().nullish(),
  volumes: z
    .union([
      z.array(z.object({ volume: reference, path: z.string().min(1).max(4096) })),
      // The SDK for Python has them by their paths.
      z.record(z.string().min(1).max(4096), reference),
    ])
    .nullish(),
  stop_at_ms: z.number().nullish(),
  /** Of the SDK for Python, in place of `stop_at_ms`. */
  timeout: z.string().max(32).nullish(),
  labels: limitedRecord(z.string().min(1), bytes(128), MAX_LABELS, "labels").nullish(),
  root: z.union([reference, z.object({ volume: reference })]).nullish(),
  allow_net: z.array(z.string().max(1024)).max(MAX_PATTERNS_PER_CALL).nullish(),
  secrets: limitedRecord(
    z.string().regex(SECRET_NAME),
    z.object({ hosts: z.array(z.string().max(1024)).min(1).max(100), value: z.string() }),
    MAX_SECRETS,
    "secrets",
  ).nullish(),
  env: limitedRecord(
    z.string().regex(/^[^=\0]{1,256}$/),
    z.string().regex(/^[^\0]*$/),
    MAX_VARIABLES,
    "variables",
  ).nullish(),
  /** Of sbx's own client; parsed by itself. */
  [CONFIG_KEY]: z.unknown().optional(),
});

type Config = z.output<typeof configSchema>;

export interface CreateRequest {
  spec: SandboxSpec;
  secretValues: Record<string, string>;
  /** Volumes, and what may be a volume or a snapshot, as a client of the published API names them. */
  references: { volumes: string[]; root: string | null };
}

/** @throws ApiError `INVALID_CONFIG` */
export function parseSandboxConfig(header: string | undefined, quotas: Quotas, now: number): CreateRequest {
  const config = readConfig(header);
  const volumes = listVolumes(config);
  const root = typeof config.root === "object" ? (config.root?.volume ?? null) : (config.root ?? null);
  const values = Object.entries(config.secrets ?? {}).map(([name, { value }]) => [name, value] as const);
  const extension = parseExtension(config[CONFIG_KEY]);
  return {
    spec: specOf(config, { volumes, root, quotas, now, extension }),
    secretValues: { ...extension?.secretValues, ...Object.fromEntries(values) },
    references: { volumes: volumes.map(({ volume }) => volume), root },
  };
}

interface SpecFacts {
  volumes: ReturnType<typeof listVolumes>;
  root: string | null;
  quotas: Quotas;
  now: number;
  extension: ConfigExtension | undefined;
}

function specOf(config: Config, { volumes, root, quotas, now, extension }: SpecFacts): SandboxSpec {
  for (const key of Object.keys(config.labels ?? {})) {
    if (Buffer.byteLength(key) > 64) throw invalid("the key of a label must have at most 64 bytes");
    // By these the instances of apps are known.
    if (key.startsWith("sbx.")) throw invalid("labels that begin with sbx. are the server's own");
  }
  const network = networkOf(config, quotas);
  // A checkpoint has its own machine and network, and is given another one only by mistake, which the runtime tells.
  const hasOwnMachine = extension?.checkpoint !== undefined;
  const hasOwnNetwork = hasOwnMachine && config.allow_net == null && config.secrets == null;
  return {
    ...(hasOwnMachine && config.memory_mb == null ? {} : { memoryBytes: memoryOf(config, quotas) }),
    lifetime: lifetimeOf(config, quotas, now),
    ...(hasOwnNetwork ? {} : { network }),
    ...(hasOwnMachine && volumes.length === 0
      ? {}
      : { volumes: volumes.map(({ volume, path }) => ({ volume, path, access: "read-write" as const })) }),
    ...(config.labels ? { labels: config.labels } : {}),
    ...(config.env ? { env: config.env } : {}),
    ...(root === null ? {} : { root }),
    ...(extension === undefined ? {} : extensionOf(extension, network, quotas)),
  };
}

/** What is wrong with a pattern of the extension's is the client's error, too. */
function extensionOf(extension: ConfigExtension, { secrets }: NetworkSpec, quotas: Quotas): Partial<SandboxSpec> {
  try {
    return extensionSpec(extension, secrets, quotas);
  } catch (error) {
    throw error instanceof SbxError ? invalid(error.message) : error;
  }
}

/** What was asked for, or a little more: a template is kept for each size that there is. */
function memoryOf({ memory_mb: given }: Config, { minMemory, maxMemory }: Quotas): number {
  const memoryMb = given ?? DEFAULT_MEMORY_MB;
  const memoryBytes = memoryMb * MIB;
  if (memoryBytes >= minMemory && memoryBytes <= maxMemory) {
    return Math.min(maxMemory, Math.ceil(memoryMb / MEMORY_STEP_MB) * MEMORY_STEP_MB * MIB);
  }
  const [min, max] = [minMemory, maxMemory].map((limit) => Math.floor(limit / MIB));
  throw invalid(`memory_mb must be from ${min ?? 0} to ${max ?? 0}, not ${memoryMb}`);
}

/** The SDK's characters are bytes of Latin-1; the one for Python writes ASCII. */
function readConfig(header: string | undefined): Config {
  if (header === undefined) throw invalid(`the header ${CONFIG_HEADER} is missing`);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(header)) throw invalid(`the header ${CONFIG_HEADER} is not base64`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(header, "base64").toString("latin1"));
  } catch {
    throw invalid(`the header ${CONFIG_HEADER} is not JSON`); // what it holds may be a secret: nothing of it is repeated
  }
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw invalid(`${issue?.path.map(String).join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
}

function listVolumes({ volumes }: Config): { volume: string; path: string }[] {
  const list = Array.isArray(volumes)
    ? volumes
    : Object.entries(volumes ?? {}).map(([path, volume]) => ({ path, volume }));
  if (list.length > MAX_VOLUMES) throw invalid(`at most ${MAX_VOLUMES} volumes`);
  for (const { path } of list) {
    if (!isMountPath(path)) throw invalid("the path of a volume is absolute, and not / or one with . or .. in it");
  }
  return list;
}

function lifetimeOf({ stop_at_ms: stopAtMs, timeout }: Config, quotas: Quotas, now: number): Lifetime {
  if (typeof stopAtMs === "number") return { kind: "duration", ms: lifetimeMs(stopAtMs, quotas, now) };
  if (typeof timeout !== "string" || timeout === "session") return { kind: "session" };
  const ms = readDuration(timeout);
  if (ms === undefined) throw invalid(`timeout must be "session" or a duration such as 30s or 5m`);
  return { kind: "duration", ms: Math.min(ms, quotas.lifetime) };
}

/** How long until the end that was asked for, or that may be had. @throws ApiError `INVALID_CONFIG` for one that is past */
export function lifetimeMs(stopAtMs: number, quotas: Quotas, now: number): number {
  const ms = Math.floor(stopAtMs - now);
  if (ms <= 0) throw invalid("stop_at_ms is in the past");
  return Math.min(ms, quotas.lifetime);
}

function networkOf({ allow_net: patterns, secrets }: Config, quotas: Quotas): NetworkSpec {
  try {
    const rules = (patterns ?? []).map((pattern) => readRule(pattern, quotas));
    const requests = Object.entries(secrets ?? {}).map(([name, { hosts, value }]) => {
      const fault = secretValueFault(value);
      if (fault !== null) throw invalid(`the value of the secret ${name} ${fault}`);
      return { name, hosts: hosts.map(parseSecretHost) };
    });
    return {
      // As documented: without a list everything public can be reached, with one what it names.
      policy: buildPolicy({ mode: patterns ? "none" : "open", rules, expressions: [] }),
      secrets: requests,
      onLeak: "pass",
      inspect: false,
      hookPath: null,
      resolve: [],
      extraRootsPem: [],
    };
  } catch (error) {
    if (error instanceof SbxError) throw invalid(error.message);
    throw error;
  }
}

function readRule(pattern: string, { privateNetwork }: Quotas): RuleDraft {
  const rule = draftRule("allow", pattern, { kind: "api" });
  if (!privateNetwork && isPrivateHost(rule.host)) {
    throw invalid(`allow_net: ${JSON.stringify(pattern)} is not a public address, which this server does not open`);
  }
  return rule;
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_CONFIG", message);
}
