/** What goes wrong with apps, in words. */
import type { z } from "zod";
import { SbxError } from "../../errors.ts";

export function appNotFound(ref: string): SbxError {
  return new SbxError("app_not_found", `there is no app ${quote(ref)}`, { hint: "sbx app list" });
}

export function layerNotFound(ref: string): SbxError {
  return new SbxError("layer_not_found", `there is no layer ${quote(ref)}`, {
    hint: "sbx layer list",
  });
}

export function revisionNotFound(id: string): SbxError {
  return new SbxError("revision_not_found", `there is no revision ${quote(id)}`, { hint: "sbx app revisions APP" });
}

export function slugInUse(what: "app" | "layer", slug: string): SbxError {
  return new SbxError("name_in_use", `there is another ${what} with the slug ${quote(slug)}`, {
    hint: "choose another slug",
  });
}

export function usage(message: string, hint?: string): SbxError {
  return new SbxError("usage", message, hint === undefined ? {} : { hint });
}

/** @throws SbxError `usage` that says where it is wrong */
export function requireValid<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = [what, ...(issue?.path.map(String) ?? [])].join(".");
  throw usage(`${place}: ${issue?.message ?? "invalid"}`);
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 128));
}
