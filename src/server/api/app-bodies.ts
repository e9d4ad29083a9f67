/** What clients send for apps and layers. Keys that are not known are ignored, as the protocol wants. */
import { z } from "zod";
import {
  appConfigSchema,
  contextsSchema,
  labelsSchema,
  revisionVariableSchema,
  variableKeySchema,
  variableValueSchema,
} from "../../protocol/app-records.ts";
import { MAX_LAYER_REFS, MAX_VARIABLES } from "../../protocol/app-values.ts";
import type { EnvVariableChange, EnvVariableSpec } from "../../runtime/apps.ts";

/** Its form is the runtime's to judge. */
const slug = z.string().min(1).max(64);
const layers = z.array(z.string().min(1).max(256)).max(MAX_LAYER_REFS);
const description = z.string().max(1024);

const newVariable = z
  .object({
    ...{ key: variableKeySchema, value: variableValueSchema, secret: z.boolean().optional() },
    contexts: contextsSchema.optional(),
  })
  .transform(({ secret, ...rest }): EnvVariableSpec => defined({ ...rest, isSecret: secret }));

const changedVariable = z
  .object({
    ...{ id: z.string().max(64).optional(), key: variableKeySchema.optional(), value: variableValueSchema.optional() },
    ...{ secret: z.boolean().optional(), contexts: contextsSchema.optional(), delete: z.boolean().optional() },
  })
  .transform(({ secret, delete: remove, ...rest }): EnvVariableChange =>
    defined({ ...rest, isSecret: secret, remove }),
  );

export const createAppBody = z.object({
  ...{ slug: slug.optional(), labels: labelsSchema.optional(), config: appConfigSchema.optional() },
  ...{ env_vars: z.array(newVariable).max(MAX_VARIABLES).optional(), layers: layers.optional() },
});

export const updateAppBody = z.object({
  ...{ slug: slug.optional(), labels: labelsSchema.optional(), config: appConfigSchema.optional() },
  ...{ env_vars: z.array(changedVariable).max(MAX_VARIABLES).optional(), layers: layers.optional() },
});

export const createLayerBody = z.object({
  ...{ slug, description: description.optional(), layers: layers.optional() },
  env_vars: z.array(newVariable).max(MAX_VARIABLES).optional(),
});

export const updateLayerBody = z.object({
  ...{ slug: slug.optional(), description: description.optional(), layers: layers.optional() },
  env_vars: z.array(changedVariable).max(MAX_VARIABLES).optional(),
});

const asset = z.union([
  z.object({ kind: z.literal("symlink"), target: z.string().min(1).max(4096) }),
  z.object({
    ...{ kind: z.literal("file").optional(), encoding: z.enum(["utf-8", "base64"]).optional(), content: z.string() },
  }),
]);

/** Whether a revision goes when there are too many. */
const retention = z.enum(["auto", "indefinite"]);
export const retentionBody = z.object({ retention });

/** In clear text, or base64. */
export const deployBody = z.object({
  assets: z.record(z.string(), asset),
  config: appConfigSchema.optional(),
  layers: layers.optional(),
  env_vars: z.array(revisionVariableSchema).max(MAX_VARIABLES).optional(),
  labels: labelsSchema.optional(),
  production: z.boolean().default(true),
  preview: z.boolean().default(false),
  retention: retention.default("auto"),
});

/** Unlike all other bodies, in camel case. */
export const deploySandboxBody = z.object({
  app: z.string().min(1).max(256),
  entrypoint: z.string().max(1024).default("main.ts"),
  args: z.array(z.string().max(4096)).max(256).optional(),
  production: z.boolean().default(true),
  preview: z.boolean().default(false),
  path: z.string().max(4096).default("/home/app"),
  mode: z.enum(["none", "local"]).default("none"),
  frameworkPreset: z.string().max(64).default(""),
  installCommand: z.string().max(4096).optional(),
  buildCommand: z.string().max(4096).optional(),
  buildDirectory: z.string().max(1024).optional(),
});

/** Without the keys that have no value: the runtime tells absent ones from those. */
export function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const given = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(given) as { [K in keyof T]: Exclude<T[K], undefined> };
}
