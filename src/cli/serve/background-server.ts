/** A server that goes on when the command that wants it has ended. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, renameSync, statSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packageRoot } from "../../host/package-root.ts";
import { isAlive } from "../../host/process-identity.ts";
import { SbxError } from "../../runtime/errors.ts";
import { controlPlanePath } from "../../runtime/select.ts";
import { parseListenAddress, type ListenAddress } from "../parsers/listen-address.ts";
import { DEFAULT_LISTEN } from "./run-server.ts";
import { findServing, type ServingRecord } from "./serving-record.ts";

/** A server is there in about half a second; on a host under load later, `ms`. */
const START_MS = 30_000;
/** For its connections to end, `ms`. */
const STOP_MS = 30_000;
const POLL_MS = 50;
/** A longer log is put aside, `bytes`. */
const MAX_LOG_BYTES = 16 * 1024 * 1024;

export interface BackgroundServer extends ServingRecord {
  /** Whether it was started now. */
  isNew: boolean;
  logPath: string;
}

export interface ServerWishes {
  /** As `--data` and `--config` say; the user's own records, and no configuration, if absent. */
  data?: string | undefined;
  config?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The server of a directory of records, started if there is none.
 *
 * @throws SbxError `start_failed` with its last words
 */
export async function ensureServer(
  env: Readonly<Record<string, string | undefined>>,
  { data, config, signal }: ServerWishes = {},
): Promise<BackgroundServer> {
  const directory = await controlPlanePath(data);
  const logPath = path.join(directory, "serve.log");
  const running = findServing(directory);
  if (running !== undefined) return { ...running, isNew: false, logPath };
  const log = openLog(directory, logPath);
  const words = ["serve", "--no-token", "--quiet"];
  if (data !== undefined) words.push("--data", path.resolve(data));
  if (config !== undefined) words.push("--config", path.resolve(config));
  // Nobody has asked for that port, and it may be somebody else's.
  else if (!(await isFree(parseListenAddress(DEFAULT_LISTEN)))) words.push("--listen", "127.0.0.1:0");
  const child = spawn(process.execPath, [path.join(packageRoot(), "bin", "run.js"), ...words], {
    ...{ cwd: "/", env: { ...env }, detached: true, stdio: ["ignore", "ignore", log] },
  });
  closeSync(log);
  let ended: string | undefined;
  child.once("exit", (code, end) => (ended = `it ended with ${end ?? String(code)}`));
  child.once("error", (error) => (ended = error.message));
  child.unref();
  for (const until = performance.now() + START_MS; ended === undefined && performance.now() < until;) {
    const serving = findServing(directory);
    if (serving !== undefined) return { ...serving, isNew: true, logPath };
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
  throw new SbxError("state_broken", `sbx serve does not start: ${ended ?? "it says nothing"}`, {
    hint: `see ${logPath}, or run sbx serve`,
  });
}

/** Ends the server of a directory of records. Returns its pid; undefined where there is none. */
export async function stopServer(data: string | undefined, signal: AbortSignal): Promise<number | undefined> {
  const serving = findServing(await controlPlanePath(data));
  if (serving === undefined) return undefined;
  process.kill(serving.pid, "SIGTERM");
  for (const until = performance.now() + STOP_MS; isAlive(serving);) {
    if (performance.now() > until) {
      throw new SbxError("state_broken", `sbx serve (process ${serving.pid}) does not end`, {
        hint: `kill -9 ${serving.pid}`,
      });
    }
    await sleep(POLL_MS, undefined, { signal });
  }
  return serving.pid;
}

async function isFree({ host, port }: ListenAddress): Promise<boolean> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  server.once("error", () => resolve(false));
  server.listen(port, host, () => server.close(() => resolve(true)));
  return promise;
}

function openLog(directory: string, logPath: string): number {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if ((statSync(logPath, { throwIfNoEntry: false })?.size ?? 0) > MAX_LOG_BYTES) renameSync(logPath, `${logPath}.1`);
  return openSync(logPath, "a", 0o600);
}
