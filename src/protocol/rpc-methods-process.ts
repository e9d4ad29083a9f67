/** Schemas of environment, processes, Deno, network and editor calls (deno-sandbox-protocol, section 2.5). */
import * as z from "zod/mini";
import {
  count,
  environment,
  list,
  method,
  name,
  newTerminal,
  none,
  opt,
  path,
  pid,
  port,
  streamId,
  text,
} from "./rpc-schema.ts";

const flag = () => opt(z.boolean());
const output = () => z.enum(["piped", "null"]);

const stdioShape = () => ({
  env: opt(environment()),
  clearEnv: flag(),
  cwd: opt(path()),
  stdinStreamId: opt(streamId()),
  stdout: output(),
  stderr: output(),
});

const spawnParams = () =>
  z.object({
    command: name(),
    args: opt(list(text())),
    ...stdioShape(),
    /** sbx: a PTY in place of the pipes (its output is stdout), another account, a process that nobody waits for. */
    sbx: opt(z.object({ pty: opt(newTerminal()), user: opt(name()), detached: flag() })),
  });

/** The arguments of the program, under the name that the SDK for Python has beside the published one. */
const denoArguments = () => ({ scriptArgs: opt(list(text())), args: opt(list(text())) });

const spawnDenoParams = () =>
  z
    .object({
      ...stdioShape(),
      ...denoArguments(),
      entrypoint: opt(path()),
      watch: opt(z.union([z.boolean(), list(path())])),
      code: opt(z.string()),
      extension: opt(z.enum(["js", "cjs", "mjs", "ts", "cts", "mts", "jsx", "tsx"])),
    })
    .check(
      z.refine((value) => (value.entrypoint == null) !== (value.code == null), {
        error: "exactly one of entrypoint and code is needed",
      }),
    );

const started = () =>
  z.object({ pid: pid(), stdoutStreamId: z.nullable(streamId()), stderrStreamId: z.nullable(streamId()) });
const onPid = () => z.object({ pid: pid() });

const processStatus = () =>
  z.object({
    success: z.boolean(),
    code: z.number().check(z.int()),
    signal: z.nullable(z.string().check(z.maxLength(32))),
    oom: z.nullable(z.enum(["high-confidence", "low-confidence"])),
  });
export type ProcessStatus = z.output<ReturnType<typeof processStatus>>;

export const PROCESS_METHODS = {
  abort: method(() => z.object({ abortId: count() }), none),
  envGet: method(
    () => z.object({ key: text() }),
    () => z.nullable(z.string()),
  ),
  envSet: method(() => z.object({ key: name(), value: text() }), none),
  envDelete: method(() => z.object({ key: text() }), none),
  envToObject: method(
    () => z.object({}),
    () => z.record(z.string(), z.string()),
  ),
  spawn: method(spawnParams, started),
  processWait: method(() => z.object({ pid: pid(), vscode: flag() }), processStatus),
  processKill: method(
    () =>
      z.object({
        pid: pid(),
        signal: opt(z.string().check(z.maxLength(32))),
        vscode: flag(),
        /** sbx: the whole process group. */
        sbx: opt(z.object({ group: flag() })),
      }),
    none,
  ),
  spawnDeno: method(spawnDenoParams, () => z.extend(started(), { watcherId: z.nullable(z.string()) })),
  spawnDenoRepl: method(() => z.object({ ...stdioShape(), ...denoArguments() }), started),
  denoReplEval: method(
    () => z.object({ pid: pid(), code: z.string() }),
    () => z.unknown(),
  ),
  denoReplCall: method(
    () => z.object({ pid: pid(), fn: z.string(), args: list(z.unknown()) }),
    () => z.unknown(),
  ),
  denoReplClose: method(onPid, none),
  denoHttpWait: method(onPid, () => z.boolean()),
};

const headers = () => list(z.tuple([text(), text()]));

export const NETWORK_METHODS = {
  fetch: method(
    () =>
      z.object({
        url: text(),
        method: z.string().check(z.minLength(1), z.maxLength(64)),
        headers: headers(),
        redirect: z.enum(["follow", "manual"]),
        abortId: opt(count()),
        bodyStreamId: opt(streamId()),
        pid: opt(pid()),
      }),
    () =>
      z.object({
        status: z.number().check(z.int()),
        statusText: z.string(),
        headers: headers(),
        bodyStreamId: z.nullable(streamId()),
      }),
  ),
  exposeHttp: method(
    () =>
      z.object({ domain: name(), port: opt(port()), pid: opt(pid()) }).check(
        z.refine((value) => (value.port == null) !== (value.pid == null), {
          error: "exactly one of port and pid is needed",
        }),
      ),
    none,
  ),
  vscode: method(
    () =>
      z.object({
        path: path(),
        extensions: list(text()),
        env: opt(environment()),
        preview: opt(text()),
        disableStopButton: flag(),
        editorSettings: opt(z.record(z.string(), z.unknown())),
      }),
    () => z.object({ pid: pid(), port: port(), stdoutStreamId: streamId(), stderrStreamId: streamId() }),
  ),
};
