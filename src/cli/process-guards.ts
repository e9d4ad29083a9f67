/** What must hold for the whole process: errors that nobody caught, broken pipes, and a launcher that was killed. */
import { SbxError } from "../runtime/errors.ts";
import { undoEverything } from "./terminal/restore.ts";

/** How often to look whether the launcher is still there, `ms`. */
const LAUNCHER_CHECK_MS = 500;

export interface Guards {
  /** Resolves at once, or never if the process is about to end because of an error that nobody caught. */
  settled(): Promise<void>;
}

/** Installs them. @param report turns an error into text and a status */
export function installGuards(report: (error: unknown) => Promise<number>): Guards {
  let ending: Promise<void> | undefined;
  const fail = (error: unknown): void => {
    undoEverything();
    // The first error is the one to tell; what follows from it is not.
    ending ??= report(asWriteFailure(error)).then((status) => process.exit(status));
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  // Who reads our messages may stop reading; that is no reason to fail. (stdout: oclif does the same.)
  process.stderr.on("error", () => undefined);
  watchLauncher();
  return {
    settled: async () => {
      // A failed write is only reported a turn of the event loop later.
      await new Promise((resolve) => setImmediate(resolve));
      await ending;
    },
  };
}

/** Output that cannot be written is a failure with a name: a full disk, most of the time. */
function asWriteFailure(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall !== "write") return error;
  return new SbxError("file_error", "the output cannot be written", { cause: error });
}

/**
 * On an old Node, bin/launcher.js runs this process and waits. When it is killed with SIGKILL nobody would tell us, and
 * what the user takes for the whole program would go on: treat it as a terminal that went away.
 */
function watchLauncher(): void {
  const pid = Number(process.env.SBX_LAUNCHER_PID);
  delete process.env.SBX_LAUNCHER_PID;
  if (!Number.isInteger(pid) || pid <= 1) return;
  const timer = setInterval(() => {
    if (process.ppid === pid) return;
    clearInterval(timer);
    process.kill(process.pid, "SIGHUP");
  }, LAUNCHER_CHECK_MS);
  timer.unref();
}
