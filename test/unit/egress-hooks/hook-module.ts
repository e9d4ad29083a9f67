/** Starts the real hook process with a module that a test writes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import type { RequestHead, ResponseHead } from "../../../src/egress/http-heads.ts";
import type { Hooks } from "../../../src/egress/hooks/hooks.ts";
import { startHooks, type HookOptions } from "../../../src/egress/hooks/start-hooks.ts";
import type { ExpressionSpec } from "../../../src/policy/spec.ts";

export const HOST_SCRIPT = path.resolve("src/egress/hooks/hook-host.ts");

export interface TestHooks extends AsyncDisposable {
  hooks: Hooks;
  /** What reached the log. */
  lines: string[];
  /** Where the module lies. */
  directory: string;
}

/**
 * @param source of a TypeScript module, or `null` for rules alone
 * @param files more of them, beside it
 */
export async function openHooks(
  source: string | null,
  options: Partial<HookOptions> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<TestHooks> {
  const directory = mkdtempSync(path.join(tmpdir(), "sbx-hooks-"));
  const lines: string[] = [];
  const modulePath = path.join(directory, "policy.ts");
  try {
    if (source !== null) writeFileSync(modulePath, source);
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(directory, name), text);
    const hooks = await startHooks({
      modulePath: source === null ? null : modulePath,
      expressions: [],
      sandbox: { id: "sbx_1", name: "box" },
      nodePath: process.execPath,
      scriptPath: HOST_SCRIPT,
      log: (line) => lines.push(line),
      ...options,
    });
    const dispose = async (): Promise<void> => {
      await hooks[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true });
    };
    return { hooks, lines, directory, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
}

export function rule(text: string, id = "e1"): ExpressionSpec {
  return { id, text, source: { kind: "option", option: "--rule" } };
}

export function requestHead(changes: Partial<RequestHead> = {}): RequestHead {
  return { method: "POST", scheme: "https", host: "api.example.com", port: 443, target: "/", fields: [], ...changes };
}

export function responseHead(changes: Partial<ResponseHead> = {}): ResponseHead {
  return { status: 200, fields: [], ...changes };
}

export function bodyOf(...parts: (string | Buffer)[]): Readable {
  return Readable.from(
    parts.map((part) => Buffer.from(part)),
    { objectMode: false },
  );
}

export async function textOf(body: Readable | null): Promise<string | null> {
  return body === null ? null : Buffer.concat((await body.toArray()) as Buffer[]).toString("latin1");
}

export const NEVER = new AbortController().signal;

/** Waits for something that other processes do. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    if (tries > 1000) throw new Error(`it did not happen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether a process is there, and not only waiting to be waited for. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !/^\d+ \(.*\) [ZX] /.test(readStat(pid));
}

function readStat(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return `${pid} () X `;
  }
}
