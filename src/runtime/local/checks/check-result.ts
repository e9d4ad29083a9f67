/** Shorthands for the outcome of a check, and the errors that become one. */
import { SbxError } from "../../errors.ts";
import type { Check } from "../../types.ts";

/** What is being looked at. */
export type Subject = Pick<Check, "id" | "title">;

export const ok = (subject: Subject, found: string): Check => ({ ...subject, status: "ok", found });

export const info = (subject: Subject, found: string): Check => ({ ...subject, status: "info", found });

export const warning = (subject: Subject, found: string, fix: string): Check => ({
  ...subject,
  status: "warning",
  found,
  fix,
});

export const failed = (subject: Subject, found: string, fix: string): Check => ({
  ...subject,
  status: "failed",
  found,
  fix,
});

/** A check that could not be carried out, or what it threw is the finding. */
export function failedBy(subject: Subject, error: unknown, fix: string): Check {
  if (error instanceof SbxError) return failed(subject, error.message, error.hint ?? fix);
  return failed(subject, error instanceof Error ? error.message : String(error), fix);
}
