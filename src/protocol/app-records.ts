/**
 * What an app is made of, as the API, the state database and the runtimes have it, and the limits of each part. What
 * comes from outside is parsed with these schemas once.
 */
import { z } from "zod";

/** The documented limit of labels; so is that of their parts, which is the one of sandboxes. */
export const MAX_LABELS = 5;
const MAX_LABEL_KEY_BYTES = 64;
const MAX_LABEL_VALUE_BYTES = 128;
/** Variables of one app, layer or revision. */
export const MAX_VARIABLES = 100;
const MAX_KEY_BYTES = 128;
export const MAX_VARIABLE_BYTES = 16_384;
const MAX_CONTEXTS = 16;
/** Layers that an app or a layer refers to directly. */
export const MAX_LAYER_REFS = 16;
const MAX_COMMAND_CHARS = 4096;
const MAX_ARGUMENTS = 256;
const MAX_PATH_CHARS = 1024;

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

const CLOSED_PREFIXES = ["DENO_", "LD_", "OTEL_"] as const;
/** The published service's own exceptions. */
const OPEN_KEYS: ReadonlySet<string> = new Set([
  ...["DENO_AUTH_TOKENS", "DENO_COMPAT", "DENO_CONDITIONS", "DENO_DEPLOY_ENDPOINT", "DENO_DEPLOY_TOKEN"],
]);

const bytes = (max: number) =>
  z.string().refine((text) => Buffer.byteLength(text) <= max, { message: `must have at most ${max} bytes` });
const command = z.string().max(MAX_COMMAND_CHARS).nullable();
const guestPath = z
  .string()
  .max(MAX_PATH_CHARS)
  .refine((text) => !text.includes("\0"), { message: "must not hold a NUL" });

export const labelsSchema = z
  .record(bytes(MAX_LABEL_KEY_BYTES).min(1), bytes(MAX_LABEL_VALUE_BYTES))
  .refine((labels) => Object.keys(labels).length <= MAX_LABELS, { message: `at most ${MAX_LABELS} labels` });

export const variableKeySchema = z.string().superRefine((key, context) => {
  const fault = variableKeyFault(key);
  if (fault !== null) context.addIssue({ code: "custom", message: fault });
});

/** Why a variable cannot be called so; `null` for one that can. */
export function variableKeyFault(key: string): string | null {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key))
    return "a key has letters, digits and underscores, and begins with no digit";
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `a key has at most ${MAX_KEY_BYTES} bytes`;
  const closed = CLOSED_PREFIXES.find((prefix) => key.startsWith(prefix));
  return closed === undefined || OPEN_KEYS.has(key) ? null : `keys that begin with ${closed} are the runtime's own`;
}

/** The kernel ends a variable at a NUL. */
export const variableValueSchema = bytes(MAX_VARIABLE_BYTES).refine((text) => !text.includes("\0"), {
  message: "must not hold a NUL",
});

export const contextsSchema = z.union([
  z.literal("all"),
  z
    .array(z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/))
    .min(1)
    .max(MAX_CONTEXTS),
]);
export type Contexts = z.output<typeof contextsSchema>;

export const appRuntimeSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("dynamic"),
    entrypoint: guestPath.optional(),
    args: z.array(guestPath).max(MAX_ARGUMENTS).optional(),
  }),
  z.object({ type: z.literal("static"), cwd: guestPath.optional(), spa: z.boolean().optional() }),
]);

export const appConfigSchema = z
  .object({
    framework: z.enum(FRAMEWORKS).optional(),
    install: command.optional(),
    build: command.optional(),
    predeploy: command.optional(),
    crons: z.boolean().optional(),
    runtime: appRuntimeSchema.optional(),
  })
  .refine(({ framework = "", runtime }) => framework === "" || runtime === undefined, {
    message: "framework and runtime exclude each other",
  });
export type AppConfig = z.output<typeof appConfigSchema>;

export const revisionVariableSchema = z.object({ key: variableKeySchema, value: variableValueSchema });
export type RevisionVariable = z.output<typeof revisionVariableSchema>;

export const REVISION_STATUSES = ["skipped", "queued", "building", "succeeded", "failed"] as const;
export type RevisionStatus = (typeof REVISION_STATUSES)[number];
export const FAILURE_REASONS = ["error", "cancelled", "timed_out", "skipped"] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

export const BUILD_STEPS = ["preparing", "installing", "building", "deploying"] as const;
export type BuildStep = (typeof BUILD_STEPS)[number];

/** Times are epoch `ms`. */
export const stageSchema = z.discriminatedUnion("status", [
  z.object({ status: z.enum(["pending", "skipped"]) }),
  z.object({ status: z.literal("running"), start: z.number() }),
  z.object({ status: z.enum(["succeeded", "timed_out", "cancelled", "errored"]), start: z.number(), end: z.number() }),
]);
export type Stage = z.output<typeof stageSchema>;

/** How far a revision has come. */
export const progressSchema = z.object({
  queued: stageSchema,
  preparing: stageSchema,
  installing: stageSchema,
  building: stageSchema,
  deploying: stageSchema,
  /** Of each timeline that the revision is for. */
  timelines: z.array(z.object({ slug: z.string(), predeploy: stageSchema, warmup: stageSchema, routing: stageSchema })),
});
export type Progress = z.output<typeof progressSchema>;

/** A line of a build log. The text may be a guest's. */
export const buildLogSchema = z.object({
  time: z.number(),
  level: z.enum(["info", "error"]),
  message: z.string(),
  step: z.enum(BUILD_STEPS),
  timeline: z.string().optional(),
});
export type BuildLogLine = z.output<typeof buildLogSchema>;
