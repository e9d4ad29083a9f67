/**
 * What the program of an instance says. It writes into two named pipes, and a reader beside it says the same once more,
 * which is what the logs have. In a copy of the machine the output of processes that go on is lost (docs/forks.md): there
 * the reader is another one, and the program has not noticed.
 */
import type { Sandbox } from "../../runtime.ts";
import type { Argv } from "./build-commands.ts";
import { runCommand } from "./guest-work.ts";

/** Beside the files, which it is no part of. */
const DIRECTORY = "/app/.sbx";
/** Opening a pipe for reading waits for its writer. */
const READ = 'cat "$0/stderr" >&2 & echo "$$ $!" >"$0/readers"; exec cat "$0/stdout"';
const STOP = 'read -r pids <"$0/readers" && exec kill $pids';
/**
 * First as every writer, which waits until the reader is there, so that nothing is lost; then so that it reads as well,
 * so that a moment without a reader is no broken pipe.
 */
const WRITE = 'exec >"$0/stdout" 2>"$0/stderr"; exec "$@" 1<>"$0/stdout" 2<>"$0/stderr"';

export async function makePipes(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  const made: Argv = ["install", "--directory", "--mode=700", DIRECTORY];
  await runCommand(sandbox, { argv: made }, () => undefined, signal);
  const argv: Argv = ["mkfifo", "--mode=600", `${DIRECTORY}/stdout`, `${DIRECTORY}/stderr`];
  await runCommand(sandbox, { argv }, () => undefined, signal);
}

export async function startReader(sandbox: Sandbox, signal?: AbortSignal): Promise<void> {
  await sandbox.start({ argv: ["sh", "-c", READ, DIRECTORY] }, signal === undefined ? {} : { signal });
}

/** What the program says until the next reader comes waits in the pipes. */
export async function stopReader(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  await runCommand(sandbox, { argv: ["sh", "-c", STOP, DIRECTORY] }, () => undefined, signal);
}

/** The program as it is started, with its output going into the pipes. */
export function throughPipes(argv: Argv): Argv {
  return ["sh", "-c", WRITE, DIRECTORY, ...argv];
}
