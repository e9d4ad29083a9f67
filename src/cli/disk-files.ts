/** Files that disks are exported to and imported from; `-` is stdout or stdin. */
import { createReadStream } from "node:fs";
import path from "node:path";
import type { ExportReport, ExportTarget } from "../runtime/disks.ts";
import { SbxError } from "../runtime/errors.ts";
import type { CommandContext } from "./context.ts";
import { humanSize } from "./output/human.ts";
import { usageError } from "./parsers/usage-error.ts";

/** @throws SbxError `usage` for a terminal */
export function exportTarget(
  { stdout, cwd }: Pick<CommandContext, "stdout" | "cwd">,
  file: string,
  overwrite: boolean,
): ExportTarget {
  if (file !== "-") return { path: path.resolve(cwd, checkPath(file)), overwrite };
  if (stdout.isTTY !== true) return stdout;
  throw usageError("a disk is nothing for a terminal", "name a file, or send stdout to another program");
}

/** @throws SbxError `usage` for a terminal; while it is read `file_error` for a file that cannot be */
export function importSource(
  { stdin, cwd }: Pick<CommandContext, "stdin" | "cwd">,
  file: string,
): AsyncIterable<Uint8Array> {
  if (file !== "-") return readFileParts(path.resolve(cwd, checkPath(file)));
  if (stdin.isTTY !== true) return stdin;
  throw usageError("stdin is a terminal", "name a file, or give it another program's output");
}

export function exportLine(name: string, { contentBytes, fileBytes }: ExportReport): string {
  return `${name}: ${humanSize(contentBytes)} in a file of ${humanSize(fileBytes)}`;
}

async function* readFileParts(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* createReadStream(file, { highWaterMark: 1024 ** 2 }) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new SbxError("file_error", `${file} is not there`);
    throw new SbxError("file_error", `${file} cannot be read`, { cause });
  }
}

function checkPath(file: string): string {
  if (file === "" || file.includes("\0")) throw usageError("the name of the file must not be empty");
  return file;
}
