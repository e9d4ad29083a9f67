/**
 * Has the disk of VS Code attached by a program of sbx (runtime/local/editor/attach-program.ts), which calls back at this
 * supervisor's own door. The first time of all it is downloaded.
 */
import { spawn } from "node:child_process";
import { homedir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { packageRoot } from "../../host/package-root.ts";
import type { LaunchHome } from "../../protocol/launch.ts";
import { fromErrorRecord, SbxError, type ErrorRecord } from "../../runtime/errors.ts";

/** Downloading, unpacking and writing it takes a minute on a slow network, `ms`. */
const LIMIT_MS = 900_000;

export interface AttachEditor {
  /** Of the sandbox. */
  id: string;
  home: LaunchHome;
}

/** @throws SbxError what the program says */
export async function attachEditor(input: AttachEditor, log: (message: string) => void): Promise<void> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program()], {
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe"],
    timeout: LIMIT_MS,
    // npm's configuration is in the user's home.
    env: { ...process.env, HOME: homedir() },
  });
  child.stdin.on("error", () => undefined); // it ended too early: its answer says so
  child.stdin.end(JSON.stringify(input));
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  const [said, complaints] = await Promise.race([Promise.all([text(child.stdout), text(child.stderr)]), failed]);
  if (complaints.trim() !== "") log(`attaching the disk of VS Code: ${complaints.trim().slice(-4000)}`);
  const answer = parseAnswer(said);
  if (answer.error !== undefined) throw fromErrorRecord(answer.error);
}

function parseAnswer(said: string): { error?: ErrorRecord } {
  try {
    return JSON.parse(said) as { error?: ErrorRecord };
  } catch (cause) {
    throw new SbxError("internal", "the program that attaches the disk of VS Code died", { cause });
  }
}

function program(): string {
  const fromSource = import.meta.filename.endsWith(".ts");
  return path.join(packageRoot(), fromSource ? "src/runtime/local/editor/attach-program.ts" : "dist/attach-editor.js");
}
