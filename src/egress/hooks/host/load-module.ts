/** Loads the user's module by its real path, so that its relative imports are resolved as in any other program. */
import { pathToFileURL } from "node:url";
import type { OnRequest, OnResponse } from "../types.ts";

export interface HookModule {
  onRequest: OnRequest | undefined;
  onResponse: OnResponse | undefined;
}

/** @throws whatever the module throws, and Error for one without a hook */
export async function loadModule(modulePath: string): Promise<HookModule> {
  const exports = (await import(pathToFileURL(modulePath).href)) as Record<string, unknown>;
  const onRequest = findHook(exports, "onRequest") as OnRequest | undefined;
  const onResponse = findHook(exports, "onResponse") as OnResponse | undefined;
  if (onRequest === undefined && onResponse === undefined) {
    throw new Error("the module exports neither onRequest nor onResponse");
  }
  return { onRequest, onResponse };
}

/** A named export, or a property of the default one, which is what `module.exports` becomes. */
function findHook(exports: Record<string, unknown>, name: string): unknown {
  const fallback = exports.default as Record<string, unknown> | null | undefined;
  const hook = exports[name] ?? fallback?.[name];
  if (hook !== undefined && typeof hook !== "function") throw new Error(`${name} is no function`);
  return hook;
}
