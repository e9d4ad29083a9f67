/** What a sandbox was made of, resolved: fixed for its life, kept in the database and in its directory. */
import { z } from "zod";

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
});

export type ResolvedSpecRecord = z.infer<typeof resolvedSpecSchema>;
