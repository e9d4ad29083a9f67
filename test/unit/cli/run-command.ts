/** Runs a real command class in this process, with a fake runtime, fake streams and fake signals. */
import { EventEmitter } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import type { Config } from "@oclif/core/config";
import { PlainCommand } from "../../../src/cli/plain-command.ts";
import type { CompletableCommand } from "../../../src/cli/completion/candidates.ts";
import type { CommandContext, InputStream, OutputStream } from "../../../src/cli/context.ts";
import { DirectConfig } from "../../../src/cli/direct.ts";
import type { RuntimeTarget } from "../../../src/runtime/contexts/target.ts";
import type { Settings } from "../../../src/runtime/defaults.ts";
import { FakeRuntime } from "../../fake-runtime.ts";

/** A sink that remembers, and may say that it is a terminal. */
export class Collector extends Writable {
  isTTY: boolean | undefined;
  columns: number | undefined;
  rows: number | undefined;
  readonly chunks: Buffer[] = [];

  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    done();
  }
}

export interface RunOptions {
  runtime?: FakeRuntime;
  /** Stdin as text or as a stream; an empty one if absent. */
  stdin?: string | Readable;
  /** Which streams are terminals. */
  tty?: { stdin?: boolean; stdout?: boolean; stderr?: boolean; columns?: number };
  env?: Record<string, string>;
  signals?: EventEmitter;
  stdout?: Writable;
  stderr?: Collector;
  /** What oclif knows of all commands; nothing if absent. */
  commands?: readonly CompletableCommand[];
}

export interface RunResult {
  status: number;
  stdout: string;
  stderr: string;
  runtime: FakeRuntime;
  /** The settings that the runtime was opened with. */
  settings: Settings | undefined;
  /** Where it was opened. */
  target: RuntimeTarget | undefined;
  /** Whether raw mode was switched on and off. */
  rawModes: boolean[];
  exitedNow: number[];
}

interface CommandConstructor {
  new (argv: string[], config: Config): PlainCommand;
  id: string;
}

/** Runs `id argv…` by its class. The environment is empty but for a configuration directory that does not exist. */
export async function runCommand(
  CommandClass: CommandConstructor,
  id: string,
  argv: string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const runtime = options.runtime ?? new FakeRuntime();
  const stdout = new Collector();
  const stderr = options.stderr ?? new Collector();
  const { tty = {} } = options;
  stdout.isTTY = tty.stdout;
  stdout.columns = tty.columns;
  stderr.isTTY = tty.stderr;
  stderr.columns = tty.columns;
  const result: RunResult = {
    status: 0,
    stdout: "",
    stderr: "",
    runtime,
    settings: undefined,
    target: undefined,
    rawModes: [],
    exitedNow: [],
  };
  const context: CommandContext = {
    stdin: makeStdin(options, result.rawModes),
    stdout: (options.stdout ?? stdout) as OutputStream,
    stderr,
    env: { XDG_CONFIG_HOME: "/nonexistent", ...options.env },
    cwd: "/work",
    signals: options.signals ?? new EventEmitter(),
    now: () => runtime.now,
    openRuntime: async (settings, target) => {
      result.settings = settings;
      result.target = target;
      return runtime;
    },
    setExitStatus: (status) => {
      result.status = status;
    },
    suspend: () => undefined,
    exitNow: (status) => result.exitedNow.push(status),
  };
  abstract class InContext extends CommandClass {
    protected override createContext(): CommandContext {
      return context;
    }
  }
  InContext.id = id;
  const root = new URL("../../..", import.meta.url).pathname;
  const config = new DirectConfig(root, { name: "sbx", version: "1.2.3", oclif: { bin: "sbx" } });
  Object.defineProperty(config, "commands", { value: options.commands ?? [] });
  await PlainCommand.run.call(InContext as unknown as CommandConstructor, argv, config);
  return { ...result, stdout: stdout.text, stderr: stderr.text };
}

function makeStdin(options: RunOptions, rawModes: boolean[]): InputStream {
  const source = typeof options.stdin === "string" ? Readable.from([Buffer.from(options.stdin)]) : options.stdin;
  const stream: InputStream = source ?? (options.tty?.stdin === true ? new PassThrough() : Readable.from([]));
  if (options.tty?.stdin === true) {
    stream.isTTY = true;
    stream.setRawMode = (raw) => rawModes.push(raw);
  }
  return stream;
}
