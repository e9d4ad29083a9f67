/** `spawnDeno`, the REPL and `denoHttpWait` (deno-sandbox-protocol, sections 2.8 and 3.6). */
import { randomUUID } from "node:crypto";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { callTypeError } from "./call-error.ts";
import { DenoRepl } from "./deno-repl.ts";
import { ReplChannel } from "./deno-repl-channel.ts";
import { type LaunchExtras, launchForClient, type StartedForClient } from "./launch.ts";
import { waitForServer } from "./listening-ports.ts";
import type { Launched } from "./process-table.ts";
import type { Call, Handlers, Session } from "./session.ts";

type Methods = "spawnDeno" | "spawnDenoRepl" | "denoReplEval" | "denoReplCall" | "denoReplClose" | "denoHttpWait";

/** Linux takes no longer argument (MAX_ARG_STRLEN is 128 KiB); code beyond goes through stdin. */
const MAX_CODE_ARGUMENT_BYTES = 100 * 1024;
/** What a caller may override: a program in a sandbox has no use for news of newer versions. */
const DENO_ENV = { DENO_NO_UPDATE_CHECK: "1" };
/** Loaded before the program at each start of a watched run: writes a byte into the channel. */
const WATCH_PRELOAD =
  "data:application/javascript," +
  encodeURIComponent(
    'try{const f=Deno.openSync("/dev/fd/3",{append:true});f.writeSync(new Uint8Array([10]));f.close()}catch{}',
  );

export const DENO_HANDLERS: Handlers<Methods> = {
  spawnDeno: async (call, params) => (params.code == null ? runEntrypoint(call, params) : runCode(call, params)),
  spawnDenoRepl: async (call, params) => {
    const argv = ["deno", "repl", "--json", "--allow-all", "--", ...programArguments(params)];
    const { launched, result } = await launchForClient(call, argv, params, { channel: "socket", env: DENO_ENV });
    const { process, channel } = launched;
    if (channel?.writable != null) {
      const repl = new DenoRepl(new ReplChannel(channel.readable, channel.writable), process);
      call.session.state.repls.set(process, repl);
    }
    return result;
  },
  denoReplEval: async ({ session }, { pid, code }) => findRepl(session, pid).evaluate(code),
  denoReplCall: async ({ session }, { pid, fn, args }) => findRepl(session, pid).call(fn, args),
  denoReplClose: async ({ session }, { pid }) => {
    await findRepl(session, pid).close();
    return null;
  },
  denoHttpWait: async ({ session, signal }, { pid }) =>
    waitForServer(session.state.link, session.state.processes.get(pid), signal),
};

async function runEntrypoint(call: Call, params: RpcParams<"spawnDeno">): Promise<SpawnedDeno> {
  const { entrypoint, watch } = params;
  const isWatched = watch != null && watch !== false;
  const argv = ["deno", "run", "--allow-all"];
  if (isWatched) {
    argv.push(Array.isArray(watch) && watch.length > 0 ? `--watch=${watch.join(",")}` : "--watch");
    argv.push("--preload", WATCH_PRELOAD);
  }
  argv.push(asOperand(entrypoint ?? ""), ...programArguments(params));
  const extras: LaunchExtras = { env: DENO_ENV, ...(isWatched ? { channel: "pipe" } : {}) };
  const { launched, result } = await launchForClient(call, argv, params, extras);
  return { ...result, watcherId: isWatched ? watchRestarts(call, launched) : null };
}

/** Inline code is a module in the current directory, so that its relative imports mean what they say. */
async function runCode(call: Call, params: RpcParams<"spawnDeno">): Promise<SpawnedDeno> {
  const { code, extension, stdinStreamId } = params;
  const source = code ?? "";
  const ext = `--ext=${extension ?? "ts"}`;
  const args = programArguments(params);
  let started: StartedForClient;
  if (Buffer.byteLength(source) <= MAX_CODE_ARGUMENT_BYTES) {
    // Spaces in front, lest code such as `-1` be read as an option.
    const argument = source.startsWith("-") || source === "" ? ` ${source}` : source;
    started = await launchForClient(call, ["deno", "eval", ext, argument, ...args], params, { env: DENO_ENV });
  } else if (stdinStreamId == null) {
    const extras = { env: DENO_ENV, input: Buffer.from(source) };
    started = await launchForClient(call, ["deno", "run", "--allow-all", ext, "-", ...args], params, extras);
  } else {
    throw callTypeError(`code of more than ${MAX_CODE_ARGUMENT_BYTES} bytes cannot have stdin: write it to a file`);
  }
  return { ...started.result, watcherId: null };
}

type SpawnedDeno = StartedForClient["result"] & { watcherId: string | null };

function programArguments({ scriptArgs, args }: RpcParams<"spawnDenoRepl">): string[] {
  return scriptArgs ?? args ?? [];
}

/** A file name that begins with a dash is no option. */
function asOperand(path: string): string {
  return path.startsWith("-") ? `./${path}` : path;
}

/** Each byte in the channel is a start of the program; all but the first are restarts. */
function watchRestarts({ session }: Call, { channel }: Launched): string {
  const watcherId = randomUUID();
  let isFirst = true;
  channel?.readable.on("data", (bytes: Buffer) => {
    // A burst, which only a hostile guest sends, counts as one.
    if (!isFirst || bytes.length > 1) session.notify({ method: "$sandbox.deno.watcher.restart", watcherId });
    isFirst = false;
  });
  return watcherId;
}

function findRepl({ state }: Session, pid: number): DenoRepl {
  const repl = state.repls.get(state.processes.get(pid));
  if (repl === undefined) throw callTypeError(`process ${pid} is not a REPL`);
  return repl;
}
