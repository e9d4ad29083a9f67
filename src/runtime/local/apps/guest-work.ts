/** What is done in guests for revisions: archives made and unpacked, commands run. Everything that comes back is a guest's. */
import { once } from "node:events";
import type { Readable } from "node:stream";
import { SbxError } from "../../errors.ts";
import type { ExecSession, Sandbox } from "../../runtime.ts";
import type { ExecSpec } from "../../types.ts";

/** Where a revision's files are, as the published service has it. */
export const APP_DIRECTORY = "/app/src";
/** What a failed command is quoted with, `chars`. */
const MAX_QUOTED_CHARS = 500;
const MAX_LINE_CHARS = 16 * 1024;

/** The files below a directory as a tar archive; those of one state are always the same bytes. */
export async function* archiveOf(sandbox: Sandbox, directory: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const argv = [
    ...(["tar", "--create", "--file=-", "--format=posix", "--sort=name", "--mtime=@0"] as const),
    ...["--owner=0", "--group=0", "--numeric-owner", "--pax-option=delete=atime,delete=ctime"],
    ...["--exclude=./.cache", "--directory", directory, "."],
  ] as const;
  await using session = await sandbox.exec({ argv: [...argv] }, { signal });
  const errors = quoted(session.stderr);
  yield* session.stdout as AsyncIterable<Uint8Array>;
  const { code } = await session.exit;
  if (code !== 0) throw guestFailure(`${directory} cannot be read in the sandbox`, await errors);
}

/** Makes the app's directory, and puts an archive into it. */
export async function unpack(sandbox: Sandbox, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const place = ["install", "--directory", "--owner=app", "--group=app", "/app", APP_DIRECTORY] as const;
  await using made = await sandbox.exec({ argv: [...place], user: "root" }, { signal });
  const madeErrors = quoted(made.stderr);
  made.stdout.resume();
  if ((await made.exit).code !== 0) throw guestFailure("the app's directory cannot be made", await madeErrors);
  const argv = ["tar", "--extract", "--file=-", "--no-same-owner", "--directory", APP_DIRECTORY] as const;
  await using session = await sandbox.exec({ argv: [...argv], stdin: true }, { signal });
  const errors = quoted(session.stderr);
  session.stdout.resume();
  await feed(session, chunks);
  if ((await session.exit).code !== 0) throw guestFailure("the files of the revision cannot be unpacked", await errors);
}

/** Runs a command and hands over its lines. Returns its exit status. */
export async function runCommand(
  sandbox: Sandbox,
  spec: ExecSpec,
  onLine: (text: string, stream: "stdout" | "stderr") => void,
  signal: AbortSignal,
): Promise<number> {
  await using session = await sandbox.exec(spec, { signal });
  await Promise.all([
    eachLine(session.stdout, (text) => onLine(text, "stdout")),
    eachLine(session.stderr, (text) => onLine(text, "stderr")),
  ]);
  return (await session.exit).code;
}

async function feed({ stdin, exit }: ExecSession, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  if (stdin === null) return;
  // A program that ends without reading all of it says so by its exit status.
  stdin.on("error", () => undefined);
  const over = exit.then(
    () => undefined,
    () => undefined,
  );
  for await (const chunk of chunks) {
    if (stdin.destroyed) return;
    if (!stdin.write(chunk)) await Promise.race([once(stdin, "drain").catch(() => undefined), over]);
  }
  stdin.end();
}

async function eachLine(stream: Readable, onLine: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let partial = "";
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    const lines = (partial + decoder.decode(chunk, { stream: true })).split("\n");
    partial = lines.pop() ?? "";
    for (const line of lines) onLine(line.replace(/\r$/, ""));
    if (partial.length < MAX_LINE_CHARS) continue;
    onLine(partial);
    partial = "";
  }
  if (partial !== "") onLine(partial);
}

/** The beginning of what a program says; the rest is read and dropped. */
async function quoted(stream: Readable): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    if (text.length < MAX_QUOTED_CHARS) text += decoder.decode(chunk, { stream: true });
  }
  return text.slice(0, MAX_QUOTED_CHARS).trim();
}

function guestFailure(what: string, said: string): SbxError {
  return new SbxError("guest_error", said === "" ? what : `${what}: ${said}`);
}
