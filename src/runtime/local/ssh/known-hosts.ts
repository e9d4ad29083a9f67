/**
 * Host keys of sandboxes, in a file of sbx's own (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). A line is one host name, its key
 * and, as the comment, the sandbox that has it. It is written before a client looks; a sandbox that is gone has none.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";

const MAX_LINES = 10_000;

export interface HostLine {
  hostName: string;
  key: string;
  sandboxId: string;
}

/** Whether the file says of the name just what it should. */
export function hasHost(filePath: string, host: HostLine): boolean {
  return readLines(filePath).some((line) => line === formatLine(host));
}

/** Whether there is any line of the sandbox's. */
export function knowsSandbox(filePath: string, sandboxId: string): boolean {
  return readLines(filePath).some((line) => sandboxOf(line) === sandboxId);
}

/** Adds a line, and takes out what was said of the name before and of sandboxes that are gone. Needs a lock. */
export function addHost(filePath: string, host: HostLine, isLive: (sandboxId: string) => boolean): void {
  const others = readLines(filePath).filter((line) => {
    const [hostName] = line.split(" ");
    return hostName !== host.hostName && isLive(sandboxOf(line));
  });
  replace(filePath, [...others.slice(-MAX_LINES), formatLine(host)]);
}

/** Takes out all lines of a sandbox. Needs a lock. */
export function removeHosts(filePath: string, sandboxId: string): void {
  const lines = readLines(filePath);
  const others = lines.filter((line) => sandboxOf(line) !== sandboxId);
  if (others.length < lines.length) replace(filePath, others);
}

/** The comment; empty where somebody else has written. */
function sandboxOf(line: string): string {
  return line.split(" ")[3] ?? "";
}

function formatLine({ hostName, key, sandboxId }: HostLine): string {
  return `${hostName} ${key} ${sandboxId}`;
}

function readLines(filePath: string): string[] {
  if (!existsSync(filePath)) return [];
  return readFileSync(filePath, "utf8").split("\n").filter(Boolean);
}

/** In one step, as others read it without asking. After a power cut the sandboxes are gone, so nothing is synced. */
function replace(filePath: string, lines: readonly string[]): void {
  const temporaryPath = `${filePath}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(temporaryPath, lines.map((line) => `${line}\n`).join(""), { mode: 0o600, flag: "wx" });
    renameSync(temporaryPath, filePath);
  } catch (error) {
    rmSync(temporaryPath, { force: true });
    throw error;
  }
}
