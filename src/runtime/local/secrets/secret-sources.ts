/**
 * Reads the value of a secret from where its user keeps it: a variable, a file, or a command of the user's own, which
 * runs on this machine, as the user, with the user's environment. Values never appear in errors.
 */
import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { MAX_SECRET_BYTES, secretValueFault } from "../../../protocol/secret-value.ts";
import { abortedError } from "../../abort.ts";
import { SbxError } from "../../errors.ts";
import type { SecretSource } from "../../types.ts";

/** A password manager may ask for a fingerprint first, `ms`. */
const COMMAND_TIMEOUT_MS = 60_000;
/** A value with its line break, and a byte more that shows it is too long. */
const READ_LIMIT_BYTES = MAX_SECRET_BYTES + 3;
const MAX_COMPLAINT_CHARS = 300;

export interface SourceReading {
  /** Values that came with the request: nothing is looked up for these. */
  given?: Readonly<Record<string, string>>;
  environment: Readonly<Record<string, string | undefined>>;
  signal?: AbortSignal | undefined;
  commandTimeoutMs?: number;
}

/**
 * The value, without the line break that ends a file or a command's output.
 *
 * @param name of the secret, for errors
 * @throws SbxError `secret_unreadable`
 */
export async function readSecretSource(name: string, source: SecretSource, reading: SourceReading): Promise<string> {
  switch (source.kind) {
    case "value":
      return checkValue(name, source.value, "its stored value");
    case "env": {
      const value = reading.environment[source.variable];
      if (value === undefined) {
        throw unreadable(name, `the variable ${source.variable} is not set`, { hint: `export ${source.variable}=…` });
      }
      return checkValue(name, value, `the variable ${source.variable}`);
    }
    case "file":
      return checkValue(name, decode(name, await readStart(name, source.path), source.path), source.path);
    case "command": {
      const output = await runCommand(name, source.command, reading);
      return checkValue(name, decode(name, output, "the command's output"), "the command's output");
    }
  }
}

function checkValue(name: string, value: string, place: string): string {
  const fault = secretValueFault(value);
  if (fault !== null) throw unreadable(name, `${place} ${fault}`);
  return value;
}

function decode(name: string, bytes: Buffer, place: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw unreadable(name, `${place} is not text in UTF-8`);
  }
}

async function readStart(name: string, path: string): Promise<Buffer> {
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.alloc(READ_LIMIT_BYTES);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } catch (cause) {
    throw unreadable(name, `${path} cannot be read`, { cause });
  }
}

/** Not in a group of its own: a password manager may want to ask at the terminal. */
async function runCommand(name: string, command: string, reading: SourceReading): Promise<Buffer> {
  const { environment, signal, commandTimeoutMs = COMMAND_TIMEOUT_MS } = reading;
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const child = spawn("sh", ["-c", command], { env: { ...environment }, stdio: ["ignore", "pipe", "pipe"] });
  const giveUp = (error: SbxError): void => {
    reject(error);
    child.kill("SIGKILL");
    // What the shell has started may hold them open.
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const onAbort = (): void => giveUp(abortedError(signal, `reading the secret ${name}`));
  const tooLate = (): void => giveUp(unreadable(name, `its command took longer than ${commandTimeoutMs / 1000} s`));
  const timer = setTimeout(tooLate, commandTimeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const output: Buffer[] = [];
  let size = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= READ_LIMIT_BYTES) output.push(chunk);
    else giveUp(unreadable(name, `the command's output is longer than ${MAX_SECRET_BYTES / 1024} KiB`));
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    complaint = (complaint + chunk).slice(0, MAX_COMPLAINT_CHARS);
  });
  child.on("error", (cause) => reject(unreadable(name, "its command cannot be run", { cause })));
  child.on("close", (code, killedBy) => {
    if (code === 0) {
      resolve(Buffer.concat(output));
      return;
    }
    const ended = killedBy === null ? `ended with status ${code}` : `was ended by ${killedBy}`;
    const [line = ""] = complaint.trim().split("\n");
    reject(unreadable(name, `its command ${ended}`, line === "" ? {} : { cause: new Error(line) }));
  });
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function unreadable(name: string, why: string, options: { cause?: unknown; hint?: string } = {}): SbxError {
  return new SbxError("secret_unreadable", `the secret ${name} cannot be read: ${why}`, {
    hint: "sbx secret list",
    ...options,
  });
}
