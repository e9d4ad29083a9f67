/** The values that records of apps are made of, and the limits that are told to users. Parsed by app-records.ts. */

/** The documented limit of labels; so is that of their parts, which is the one of sandboxes. */
export const MAX_LABELS = 5;
/** Variables of one app, layer or revision. */
export const MAX_VARIABLES = 100;
export const MAX_VARIABLE_BYTES = 16_384;
/** Layers that an app or a layer refers to directly. */
export const MAX_LAYER_REFS = 16;

/** Presets of the published service. */
export const FRAMEWORKS = [
  ...(["", "nextjs", "astro", "nuxt", "remix", "solidstart", "tanstackstart"] as const),
  ...(["sveltekit", "fresh", "lume"] as const),
] as const;

/**
 * A slug is the first label of a host name, with room for `-` and the id of a revision behind it. It has no two dashes in
 * a row: behind those comes the name of the organisation (server/gateway/app-names.ts).
 */
export const APP_SLUG = /^(?!.*--)[a-z](?:[a-z0-9-]{0,48}[a-z0-9])?$/;
export const REVISION_ID = /^[0-9a-hjkmnp-z]{12}$/;

/** Where a timeline is found: a host, and a port if it is not 443. */
export const APP_DOMAIN = /^(?=.{1,255}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?$/;

export const REVISION_STATUSES = ["skipped", "queued", "building", "succeeded", "failed"] as const;
export type RevisionStatus = (typeof REVISION_STATUSES)[number];
export const FAILURE_REASONS = ["error", "cancelled", "timed_out", "skipped"] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];
export const BUILD_STEPS = ["preparing", "installing", "building", "deploying"] as const;
export type BuildStep = (typeof BUILD_STEPS)[number];

/** Where a variable is there. */
export type Contexts = "all" | string[];

export type AppProgram =
  | { type: "dynamic"; entrypoint?: string | undefined; args?: string[] | undefined }
  | { type: "static"; cwd?: string | undefined; spa?: boolean | undefined };

/** Commands are lines for a shell; `null` for none. A framework and a runtime exclude each other. */
export interface AppConfig {
  framework?: (typeof FRAMEWORKS)[number] | undefined;
  install?: string | null | undefined;
  build?: string | null | undefined;
  predeploy?: string | null | undefined;
  crons?: boolean | undefined;
  runtime?: AppProgram | undefined;
}

/** How an app's instances are kept. */
export interface InstanceSettings {
  /** How long one lives beyond its last request, `ms`. */
  idleMs: number;
  /** Requests that are under way at one, beyond which another one is started. */
  concurrency: number;
  /** At one time, of each revision. */
  instances: number;
}

export const DEFAULT_INSTANCE_SETTINGS: InstanceSettings = { idleMs: 5 * 60_000, concurrency: 50, instances: 3 };
export const INSTANCE_BOUNDS = {
  idleMs: { min: 10_000, max: 24 * 3_600_000 },
  concurrency: { min: 1, max: 1000 },
  instances: { min: 1, max: 20 },
} as const;

export interface RevisionVariable {
  key: string;
  value: string;
}

/** Times are epoch `ms`. */
export type Stage =
  | { status: "pending" | "skipped" }
  | { status: "running"; start: number }
  | { status: "succeeded" | "timed_out" | "cancelled" | "errored"; start: number; end: number };

/** How far a revision has come. */
export interface Progress {
  queued: Stage;
  preparing: Stage;
  installing: Stage;
  building: Stage;
  deploying: Stage;
  /** Of each timeline that the revision is for. */
  timelines: { slug: string; predeploy: Stage; warmup: Stage; routing: Stage }[];
}

/** A line of a build log. The text may be a guest's. */
export interface BuildLogLine {
  time: number;
  level: "info" | "error";
  message: string;
  step: BuildStep;
  timeline?: string | undefined;
}
