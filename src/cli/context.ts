/** What a command sees of the process around it. Tests give their own; nothing else in src/cli touches `process`. */
import type { Readable, Writable } from "node:stream";
import type { RuntimeTarget } from "../runtime/contexts/target.ts";
import type { Settings } from "../runtime/defaults.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** Standard input: any stream, perhaps a terminal. */
export type InputStream = Readable & {
  isTTY?: boolean | undefined;
  setRawMode?: (raw: boolean) => unknown;
  /** Descriptor, of a real terminal. */
  fd?: number | undefined;
};

/** Standard output or error: any stream, perhaps a terminal with a size. */
export type OutputStream = Writable & {
  isTTY?: boolean | undefined;
  columns?: number | undefined;
  rows?: number | undefined;
};

/** Where signals come from: the process, or an emitter in a test. */
export interface SignalSource {
  on(name: NodeJS.Signals, listener: () => void): unknown;
  off(name: NodeJS.Signals, listener: () => void): unknown;
}

export interface CommandContext {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly signals: SignalSource;
  /** Epoch `ms`. */
  now(): number;
  openRuntime(settings: Settings, target: RuntimeTarget): Promise<Runtime>;
  setExitStatus(status: number): void;
  /** Stops the process, and the job it is a part of, until the shell has it go on. */
  suspend(): void;
  /** Ends the process at once, without cleaning up: for the user who asks a second time. */
  exitNow(status: number): void;
}

/** The context of a real process. */
export function processContext(): CommandContext {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    get cwd() {
      return process.cwd();
    },
    signals: process,
    now: () => Date.now(),
    openRuntime: async (settings, target) => (await import("../runtime/select.ts")).openRuntime(settings, { target }),
    setExitStatus: (status) => {
      process.exitCode = status;
    },
    suspend: () => {
      process.kill(0, "SIGTSTP");
    },
    exitNow: (status) => process.exit(status),
  };
}
