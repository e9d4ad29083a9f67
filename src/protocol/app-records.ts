/**
 * What an app is made of, as the API, the state database and the runtimes have it, and the limits of each part. What
 * comes from outside is parsed with these schemas once.
 */
import { z } from "zod";
import {
  BUILD_STEPS,
  FRAMEWORKS,
  INSTANCE_BOUNDS,
  MAX_LABELS,
  MAX_VARIABLE_BYTES,
  type AppConfig,
  type BuildLogLine,
  type Contexts,
  type Progress,
  type Stage,
} from "./app-values.ts";

const MAX_LABEL_KEY_BYTES = 64;
const MAX_LABEL_VALUE_BYTES = 128;
const MAX_KEY_BYTES = 128;
const MAX_CONTEXTS = 16;
const MAX_COMMAND_CHARS = 4096;
const MAX_ARGUMENTS = 256;
const MAX_PATH_CHARS = 1024;

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

const within = ({ min, max }: { min: number; max: number }) => z.int().min(min).max(max).optional();

/** What was said of an app's instances; the rest is the default. */
export const instanceSettingsSchema = z.object({
  idleMs: within(INSTANCE_BOUNDS.idleMs),
  concurrency: within(INSTANCE_BOUNDS.concurrency),
  instances: within(INSTANCE_BOUNDS.instances),
});

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

export const contextsSchema: z.ZodType<Contexts> = z.union([
  z.literal("all"),
  z
    .array(z.string().regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/))
    .min(1)
    .max(MAX_CONTEXTS),
]);

export const appRuntimeSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("dynamic"),
    entrypoint: guestPath.optional(),
    args: z.array(guestPath).max(MAX_ARGUMENTS).optional(),
  }),
  z.object({ type: z.literal("static"), cwd: guestPath.optional(), spa: z.boolean().optional() }),
]);

export const appConfigSchema: z.ZodType<AppConfig> = z
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

export const revisionVariableSchema = z.object({ key: variableKeySchema, value: variableValueSchema });

/** Times are epoch `ms`. */
export const stageSchema: z.ZodType<Stage> = z.discriminatedUnion("status", [
  z.object({ status: z.enum(["pending", "skipped"]) }),
  z.object({ status: z.literal("running"), start: z.number() }),
  z.object({ status: z.enum(["succeeded", "timed_out", "cancelled", "errored"]), start: z.number(), end: z.number() }),
]);

/** How far a revision has come. */
export const progressSchema: z.ZodType<Progress> = z.object({
  queued: stageSchema,
  preparing: stageSchema,
  installing: stageSchema,
  building: stageSchema,
  deploying: stageSchema,
  /** Of each timeline that the revision is for. */
  timelines: z.array(z.object({ slug: z.string(), predeploy: stageSchema, warmup: stageSchema, routing: stageSchema })),
});

/** A line of a build log. The text may be a guest's. */
export const buildLogSchema: z.ZodType<BuildLogLine> = z.object({
  time: z.number(),
  level: z.enum(["info", "error"]),
  message: z.string(),
  step: z.enum(BUILD_STEPS),
  timeline: z.string().optional(),
});
