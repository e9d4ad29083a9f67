/**
 * Finds a Node that can run sbx and hands the process over to it.
 *
 * This file runs on Node versions too old for the rest of sbx, so it is plain JavaScript without newer syntax. Its only
 * input is the file system around the package.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The oldest major version of Node that sbx runs on (`engines` in package.json). */
export const MINIMUM_NODE_MAJOR = 24;

const FORWARDED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"];

/** Says whether a version such as `24.1.0` can run sbx. */
export function isNodeRecentEnough(version) {
  return Number.parseInt(version, 10) >= MINIMUM_NODE_MAJOR;
}

/**
 * The Node that npm installed beside sbx: in the package's own node_modules or in one further up, where npm hoists to.
 *
 * @returns {{path: string, version: string} | undefined}
 */
export function findBundledNode(startDirectory = dirname(fileURLToPath(import.meta.url))) {
  const packageName = `node-linux-${process.arch}`;
  for (let directory = startDirectory; ; directory = dirname(directory)) {
    const home = join(directory, "node_modules", packageName);
    const path = join(home, "bin", "node");
    if (existsSync(path)) {
      const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
      if (isNodeRecentEnough(version)) return { path, version };
    }
    if (directory === dirname(directory)) return undefined;
  }
}

/** What to tell a user whose Node is too old where no other one is at hand. */
export function tooOldMessage() {
  return [
    `sbx: this is Node ${process.versions.node}; sbx needs Node ${MINIMUM_NODE_MAJOR} or newer`,
    `  why: the package node-linux-${process.arch}, which brings one along, is not installed (npm --omit=optional?)`,
    `  try: npm install --include=optional, or put Node ${MINIMUM_NODE_MAJOR} first on PATH`,
    "",
  ].join("\n");
}

/**
 * Runs `node` with the arguments given and ends as it ends: same standard streams, same exit status, same signal.
 *
 * A terminal sends Ctrl-C to both processes and this one passes it on as well; the command line of sbx takes two of a
 * kind within a moment as one (src/cli/interrupt.ts).
 */
export async function runOn(node, args, env = {}) {
  const { spawn } = await import("node:child_process");
  const child = spawn(node, args, { stdio: "inherit", env: { ...process.env, ...env } });
  const forward = (signal) => child.kill(signal);
  for (const signal of FORWARDED_SIGNALS) process.on(signal, forward);
  child.once("error", (error) => {
    process.stderr.write(`sbx: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 125;
  });
  child.once("exit", (code, signal) => {
    for (const name of FORWARDED_SIGNALS) process.off(name, forward);
    if (signal === null) process.exitCode = code;
    else process.kill(process.pid, signal);
  });
}

/** Runs the same program again on a Node that is recent enough, or says what to do. */
export async function rerunOnRecentNode(scriptPath, args) {
  const node = findBundledNode();
  if (node === undefined) {
    process.stderr.write(tooOldMessage());
    process.exitCode = 1;
    return;
  }
  // The child ends when its launcher is killed, as the one process that the user sees would. About the `--` see run.js.
  await runOn(node.path, ["--", scriptPath, ...args], { SBX_LAUNCHER_PID: String(process.pid) });
}
