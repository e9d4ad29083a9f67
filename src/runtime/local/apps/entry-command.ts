/** How the program of a revision is started. Pure, but for a look at the files. */
import type { AppConfig } from "../../../protocol/app-values.ts";
import { SbxError } from "../../errors.ts";
import type { GuestFiles } from "../../files.ts";
import { startOf, type Argv } from "./build-commands.ts";
import { isProgram } from "./asset-archive.ts";
import { APP_DIRECTORY } from "./guest-work.ts";
import { STATIC_SERVER } from "./static-server.ts";

/** Where a program is asked to listen. What listens elsewhere is found as well (listening-ports.ts). */
export const APP_PORT = 8000;
const DEFAULT_ENTRYPOINT = "main.ts";
const MAX_HEAD_BYTES = 256 * 1024;
const DENO_FILE = /\.(?:ts|tsx|mts|cts|js|jsx|mjs)$/;

/** @throws SbxError `usage` for an entry point that is not there, or that nothing here runs */
export async function entryCommand(config: AppConfig, files: GuestFiles): Promise<Argv> {
  const { runtime, framework = "" } = config;
  if (framework !== "" && runtime === undefined) {
    const start = startOf(framework);
    return "site" in start ? staticCommand(start.site, false) : start.argv;
  }
  if (runtime?.type === "static") return staticCommand(runtime.cwd ?? ".", runtime.spa ?? false);
  const { entrypoint = DEFAULT_ENTRYPOINT, args = [] } = runtime ?? {};
  const head = await readHead(files, entrypoint);
  return [...(await programFor(entrypoint, head, files)), ...args];
}

async function programFor(entrypoint: string, head: Uint8Array, files: GuestFiles): Promise<Argv> {
  if (/\.py$/.test(entrypoint)) return ["python3", entrypoint];
  if (/\.cjs$/.test(entrypoint)) return ["node", entrypoint];
  if (!DENO_FILE.test(entrypoint)) {
    if (isProgram(head)) return [`./${entrypoint.replace(/^\.\//, "")}`];
    throw notRunnable(entrypoint, "it is no module of Deno, Node or Python, and no program");
  }
  const isPlainNode =
    /\.m?js$/.test(entrypoint) && (await isThere(files, "package.json")) && !(await hasDenoConfig(files));
  if (isPlainNode) return ["node", entrypoint];
  // `deno serve` is for a default export, `deno run` for a program that listens by itself.
  const serves = /^\s*export\s+default\b|\bas\s+default\b/m.test(new TextDecoder().decode(head));
  if (serves) return ["deno", "serve", "--allow-all", "--port", String(APP_PORT), "--host", "127.0.0.1", entrypoint];
  return ["deno", "run", "--allow-all", "--no-prompt", entrypoint];
}

function staticCommand(directory: string, isSpa: boolean): Argv {
  return ["node", "--eval", STATIC_SERVER, "--", directory, String(APP_PORT), isSpa ? "spa" : "plain"];
}

async function readHead(files: GuestFiles, entrypoint: string): Promise<Uint8Array> {
  try {
    return await files.read(`${APP_DIRECTORY}/${entrypoint}`, { maxBytes: MAX_HEAD_BYTES });
  } catch (cause) {
    throw notRunnable(entrypoint, "it is not among the files", cause);
  }
}

async function hasDenoConfig(files: GuestFiles): Promise<boolean> {
  return (await isThere(files, "deno.json")) || (await isThere(files, "deno.jsonc"));
}

async function isThere(files: GuestFiles, name: string): Promise<boolean> {
  try {
    await files.stat(`${APP_DIRECTORY}/${name}`);
    return true;
  } catch {
    return false; // Then it is not what the program stands on.
  }
}

function notRunnable(entrypoint: string, why: string, cause?: unknown): SbxError {
  const hint = "name it with --entrypoint, or in the app's config";
  return new SbxError("usage", `the entry point ${JSON.stringify(entrypoint)} cannot be run: ${why}`, {
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}
