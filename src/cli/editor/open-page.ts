/**
 * Opens a page in the user's browser. Its address has a token, and every account of a machine sees the arguments of all
 * programs: so the browser is given a file that only the user can read, which leads to the page.
 */
import { spawn } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { CommandContext } from "../context.ts";

const FILE = "sbx-open.html";

/** Whether there is somebody to look at a page: a person at a terminal, and a desktop. */
export function hasBrowser({ stdout, stderr, env }: Pick<CommandContext, "stdout" | "stderr" | "env">): boolean {
  if (stdout.isTTY !== true || stderr.isTTY !== true || hasText(env.SSH_CONNECTION)) return false;
  return process.platform === "darwin" || hasText(env.DISPLAY) || hasText(env.WAYLAND_DISPLAY);
}

/** Hands a page to the browser. False where no program does that. */
export async function openPage(url: string, env: CommandContext["env"]): Promise<boolean> {
  const file = writePage(url, env);
  const program = process.platform === "darwin" ? "open" : "xdg-open";
  const child = spawn(program, [file], { stdio: "ignore", detached: true, env });
  child.unref();
  return await new Promise((resolve) => {
    child.once("error", () => resolve(false)).once("spawn", () => resolve(true));
  });
}

/** A page that leads to another one. */
export function leadingPage(url: string): string {
  const text = url.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
  const head = '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>sbx</title>';
  return `${head}<meta http-equiv="refresh" content="0;url=${text}"><a href="${text}">Open the sandbox</a>\n`;
}

/** There is one such file at a time: in the directory that goes with the user's session, else in one of our own. */
function writePage(url: string, env: CommandContext["env"]): string {
  const runtime = env.XDG_RUNTIME_DIR;
  const file = join(isOwn(runtime) ? runtime : temporaryDirectory(), FILE);
  rmSync(file, { force: true });
  writeFileSync(file, leadingPage(url), { mode: 0o600, flag: "wx" });
  return file;
}

/** The same each time, unless somebody else has taken its name. */
function temporaryDirectory(): string {
  const directory = join(tmpdir(), `sbx-open-${String(process.getuid?.())}`);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch {
    if (!isOwn(directory)) return mkdtempSync(join(tmpdir(), "sbx-open-"));
  }
  return directory;
}

function isOwn(directory: string | undefined): directory is string {
  if (directory === undefined || !isAbsolute(directory)) return false;
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === process.getuid?.() && (stats.mode & 0o077) === 0;
}

function hasText(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}
