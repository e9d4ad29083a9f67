/**
 * The configuration of a control plane: a file of JSON that its operator writes. One that does not parse, or says
 * something that is not known, stops the server (exit status 2): a limit that is silently not applied is worse than none.
 */
import { z } from "zod";
import { SbxError } from "../runtime/errors.ts";
import { ORGANISATION_NAME } from "../runtime/organisations.ts";
import { readDuration, readSize } from "./units.ts";

const MIB = 1024 ** 2;

const size = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = readSize(value);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: "custom", message: "must be a size such as 20GB or 512MiB" });
  return z.NEVER;
});
const duration = z.string().transform((value, context) => {
  const ms = readDuration(value);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: "must be a duration such as 90s, 30m or 2h" });
  return z.NEVER;
});
const count = z.int().min(0).max(1_000_000);

/** What an organisation may have. Sizes are bytes, durations `ms`. */
const quotaShape = {
  /** Sandboxes at one time. */
  sandboxes: count,
  /** Of one sandbox. */
  minMemory: size,
  maxMemory: size,
  /** Of all its sandboxes. */
  memory: size,
  cpus: count,
  /** From now to the end that a sandbox may be given, when it is made and with each extension. */
  lifetime: duration,
  /** Of one sandbox's own disk. */
  maxDisk: size,
  minVolume: size,
  maxVolume: size,
  /** Capacity of all its volumes. */
  volumes: size,
  /** Copies of machines that are kept; each takes as much of the disk as its memory. */
  checkpoints: count,
  apps: count,
  layers: count,
  /** Of all assets of one revision, over the API. */
  assets: size,
  /** Of the files of one revision, from wherever. */
  revision: size,
  creationsPerMinute: z.int().min(1).max(100_000),
  /** Processor time of all its sandboxes in a calendar month (UTC); null for as much as it wants. */
  cpuTimePerMonth: duration.nullable(),
  /** What all that it uses in a month may cost at the published prices, US dollars; null for as much as it wants. */
  costPerMonth: z.number().min(0).max(1e9).nullable(),
  /** Whether its sandboxes may be allowed addresses that are not public, and this machine's own loopback. */
  privateNetwork: z.boolean(),
};
const quotaSchema = z.strictObject(quotaShape);

export type Quotas = z.output<typeof quotaSchema>;

/** The documented limits of the service that this API is that of; where it documents none, what fits with them. */
export const DEFAULT_QUOTAS: Quotas = {
  sandboxes: 5,
  minMemory: 768 * MIB,
  maxMemory: 4096 * MIB,
  memory: 5 * 4096 * MIB,
  cpus: 10,
  lifetime: 30 * 60_000,
  maxDisk: 10_000_000_000,
  minVolume: 300_000_000,
  maxVolume: 20_000_000_000,
  volumes: 100_000_000_000,
  checkpoints: 10,
  apps: 100,
  layers: 100,
  assets: 20_000_000,
  revision: 500_000_000,
  creationsPerMinute: 60,
  cpuTimePerMonth: null,
  costPerMonth: null,
  privateNetwork: false,
};

const partialQuotas = quotaSchema.partial();

/** A name or an address, such as SSH clients take. */
const DOMAIN_NAME = /^(?=.{1,200}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/;

const gatewaySchema = z
  .strictObject({
    /** `host:port`, or `off`. */
    listen: z.string().optional(),
    /** That the names are below. All names below it have to lead here. */
    domain: z.string().regex(DOMAIN_NAME).default("localhost"),
    /** Files in PEM: a certificate for all names below the domain, and its key. One of the server's own if absent. */
    certificate: z.string().min(1).optional(),
    key: z.string().min(1).optional(),
    /** Whether a proxy in front of it ends TLS; the gateway speaks plain HTTP then. */
    behindProxy: z.boolean().default(false),
    /** What clients connect to, where that is another port. */
    publicPort: z.int().min(1).max(65_535).optional(),
  })
  .refine(({ certificate, key }) => (certificate === undefined) === (key === undefined), {
    error: "certificate and key belong together",
  })
  .refine(({ certificate, behindProxy }) => certificate === undefined || !behindProxy, {
    error: "behind a proxy the certificate is the proxy's",
  });

const configSchema = z.strictObject({
  /** `host:port`, beside the option of the command, which wins. */
  listen: z.string().optional(),
  /** How clients reach the server, for the links that it gives out; what they asked for if absent. */
  publicUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** SSH to sandboxes; the options of the command win. */
  ssh: z
    .strictObject({
      /** `host:port`, or `off`. */
      listen: z.string().optional(),
      /** What clients are told to connect to, where that is not what it listens on. */
      publicHost: z.string().regex(HOST_NAME).optional(),
      publicPort: z.int().min(1).max(65_535).optional(),
      /** File with the private key, one of the server's own if absent. */
      hostKey: z.string().min(1).optional(),
    })
    .default({}),
  /** HTTP servers of sandboxes under names of a domain; the option of the command wins. */
  gateway: gatewaySchema.default({ domain: "localhost", behindProxy: false }),
  quotas: partialQuotas.default({}),
  organisations: z.record(z.string().regex(ORGANISATION_NAME), z.strictObject({ quotas: partialQuotas })).default({}),
});

export interface SshConfig {
  listen: string | null;
  publicHost: string | null;
  publicPort: number | null;
  /** Path. */
  hostKey: string | null;
}

export interface GatewayConfig {
  listen: string | null;
  domain: string;
  /** Paths. */
  certificate: string | null;
  key: string | null;
  isProxied: boolean;
  publicPort: number | null;
}

export interface ServerConfig {
  listen: string | null;
  gateway: GatewayConfig;
  ssh: SshConfig;
  /** Without a final slash. */
  publicUrl: string | null;
  quotasOf(organisation: string): Quotas;
}

/** @throws SbxError `config_invalid` with the file and the place in it */
export function parseServerConfig(text: string, path: string): ServerConfig {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SbxError("config_invalid", `${path} is not JSON`, { cause, hint: "see docs/control-plane.md" });
  }
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const place = issue?.path.map(String).join(".") ?? "";
    throw new SbxError("config_invalid", `${path}: ${place === "" ? "" : `${place}: `}${issue?.message ?? "invalid"}`, {
      hint: "see docs/control-plane.md",
    });
  }
  return toConfig(parsed.data);
}

export function defaultServerConfig(): ServerConfig {
  return toConfig(configSchema.parse({}));
}

function toConfig(file: z.output<typeof configSchema>): ServerConfig {
  const { listen, publicUrl, ssh, gateway, quotas, organisations } = file;
  const own = new Map(Object.entries(organisations));
  return {
    listen: listen ?? null,
    gateway: {
      listen: gateway.listen ?? null,
      domain: gateway.domain,
      certificate: gateway.certificate ?? null,
      key: gateway.key ?? null,
      isProxied: gateway.behindProxy,
      publicPort: gateway.publicPort ?? null,
    },
    ssh: {
      listen: ssh.listen ?? null,
      publicHost: ssh.publicHost ?? (publicUrl === undefined ? null : hostOf(publicUrl)),
      publicPort: ssh.publicPort ?? null,
      hostKey: ssh.hostKey ?? null,
    },
    publicUrl: publicUrl?.replace(/\/+$/, "") ?? null,
    quotasOf: (organisation) => merge(merge(DEFAULT_QUOTAS, quotas), own.get(organisation)?.quotas ?? {}),
  };
}

/** As SSH clients take it: an address of IPv6 without brackets. */
function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}

function merge(base: Quotas, over: z.output<typeof partialQuotas>): Quotas {
  const given = Object.entries(over).filter(([, value]) => value !== undefined);
  return { ...base, ...(Object.fromEntries(given) as Partial<Quotas>) };
}
