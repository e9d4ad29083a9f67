/** What a sandbox was made of, resolved: fixed for its life, kept in the database and in its directory. */
import { z } from "zod";

const amount = z.number().min(0);
const rates = z.object({
  ...{ cpuHour: amount, memoryGbHour: amount, storageGibMonth: amount },
  ...{ sentGb: amount, receivedGb: amount },
});
const budgetSchema = z.array(
  z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("cpu"), ms: amount }),
    z.object({ kind: z.literal("cost"), dollars: amount, rates }),
  ]),
);

export const resolvedSpecSchema = z.object({
  imageId: z.string(),
  imageName: z.string().nullable(),
  templateKey: z.string(),
  memoryBytes: z.number(),
  cpus: z.number(),
  diskBytes: z.number(),
  accelerator: z.string(),
  labels: z.record(z.string(), z.string()),
  session: z.boolean(),
  /** What it may use; a copy of it may as much. */
  budget: budgetSchema.optional(),
  /** The application that it is an instance of. */
  app: z.string().optional(),
});

export type ResolvedSpecRecord = z.infer<typeof resolvedSpecSchema>;
