/** What `sbx deploy` is told: where the files are, and which app they are for. */
import path from "node:path";
import type { AppInfo, DeploySource } from "../../runtime/apps.ts";
import { SbxError } from "../../runtime/errors.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { parseSandboxRef } from "../parsers/names.ts";
import { usageError } from "../parsers/usage-error.ts";
import { readDirectory } from "./read-directory.ts";

/** Where commands of a sandbox start. */
const HOME = "/home/app";

/** @throws SbxError `usage`, `sandbox_not_found` */
export async function findSource(
  runtime: Runtime,
  text: string,
  { cwd, signal }: { cwd: string | undefined; signal: AbortSignal },
): Promise<DeploySource> {
  if (text === "." || text === ".." || text.includes("/")) {
    if (cwd !== undefined) throw usageError("--cwd is for a directory of a sandbox", "name the directory itself");
    return { kind: "assets", assets: await readDirectory(text, signal) };
  }
  const { id } = await runtime.get(parseSandboxRef(text), { signal });
  return { kind: "sandbox", sandbox: id, path: path.posix.resolve(HOME, cwd ?? ".") };
}

export async function findOrMakeApp(
  { apps }: Runtime,
  ref: string,
  signal: AbortSignal,
): Promise<{ app: AppInfo; isNew: boolean }> {
  try {
    return { app: await apps.get(ref, { signal }), isNew: false };
  } catch (error) {
    if (!(error instanceof SbxError) || error.code !== "app_not_found") throw error;
    return { app: await apps.create({ slug: ref }, { signal }), isNew: true };
  }
}
