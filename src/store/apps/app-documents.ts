/** What the records of apps hold besides the columns that are looked for; JSON in the database, parsed as a whole. */
import { z } from "zod";
import {
  appConfigSchema,
  contextsSchema,
  instanceSettingsSchema,
  progressSchema,
  revisionVariableSchema,
} from "../../protocol/app-records.ts";
import { FAILURE_REASONS } from "../../protocol/app-values.ts";

/** A variable has its value in clear, or sealed (sealed-values.ts). */
export const storedVariableSchema = z.object({
  id: z.string(),
  key: z.string(),
  contexts: contextsSchema,
  value: z.string().nullable(),
  sealed: z.string().nullable(),
});
export type StoredVariable = z.output<typeof storedVariableSchema>;

const labels = z.record(z.string(), z.string());

export const appDocumentSchema = z.object({
  ...{ labels, env: z.array(storedVariableSchema), config: appConfigSchema },
  /** What was said of its instances. */
  instances: instanceSettingsSchema.optional(),
});
export type AppDocument = z.output<typeof appDocumentSchema>;

export const layerDocumentSchema = z.object({ description: z.string().nullable(), env: z.array(storedVariableSchema) });
export type LayerDocument = z.output<typeof layerDocumentSchema>;

/** What a revision may reach. No value of a secret: those are the organisation's stored ones, by name. */
export const revisionNetworkSchema = z.object({
  mode: z.enum(["none", "balanced", "open"]),
  rules: z.array(z.object({ verdict: z.enum(["allow", "deny"]), pattern: z.string() })),
  secrets: z.array(z.string()),
  onLeak: z.enum(["block", "report", "pass"]),
});
export type RevisionNetwork = z.output<typeof revisionNetworkSchema>;

export const revisionDocumentSchema = z.object({
  labels,
  layers: z.array(z.object({ id: z.string(), slug: z.string() })),
  env: z.array(revisionVariableSchema),
  /** Those of its app and layers when it was made, the ones with precedence last. */
  inherited: z.array(storedVariableSchema),
  config: appConfigSchema,
  network: revisionNetworkSchema.nullable(),
  contentBytes: z.number().nullable(),
  failureReason: z.enum(FAILURE_REASONS).nullable(),
  failure: z.string().nullable(),
  finishedAt: z.number().nullable(),
  /** When it last became production; absent if it never was. */
  productionAt: z.number().optional(),
  /** Whether it stays when there are too many. */
  isKept: z.boolean(),
  progress: progressSchema,
});
export type RevisionDocument = z.output<typeof revisionDocumentSchema>;
