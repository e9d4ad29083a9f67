/**
 * What the guest agent may say in JSON: results of calls, errors, events, HELLO and FAIL, as schemas. The guest is
 * hostile: sizes are bounded here, numbers are finite, and keys that are not listed are dropped.
 */
import * as z from "zod/mini";
import type { AgentCalls, AgentEvent, AgentHello } from "./agent-calls.ts";

/** A failure as the agent reports it, for a call or for a stream. */
export interface AgentFailure {
  code: string;
  message: string;
  path?: string | undefined;
}

export type AgentOutcome<M extends keyof AgentCalls> = { ok: AgentCalls[M]["result"] } | { error: AgentFailure };

const MAX_PATH_CHARS = 16_384;
const MAX_TEXT_CHARS = 64 * 1024;
const MAX_ENTRIES = 100_000;
/** Errno names and the agent's own few codes. */
const CODE = /^[A-Z][A-Z0-9_]{0,31}$/;

const text = (max: number) => z.string().check(z.maxLength(max));
const count = () => z.number().check(z.int(), z.nonnegative());
/** Any finite number: file systems in the guest hold times that no calendar does. */
const time = () => z.number();
const pid = () => z.number().check(z.int(), z.positive(), z.maximum(2 ** 22));
/** A user or group. */
const id = () => z.number().check(z.int(), z.minimum(0), z.maximum(0xffff_fffe));
const port = () => z.number().check(z.int(), z.minimum(1), z.maximum(65_535));
const none = () => z.null();
const path = () => text(MAX_PATH_CHARS);
const signal = () => z.nullable(z.string().check(z.regex(/^SIG[A-Z0-9+]{1,16}$/)));
const fileType = () => z.enum(["file", "dir", "symlink", "block", "char", "fifo", "socket"]);

/** Processes in one answer. */
const MAX_BUSIEST = 64;
/** What the kernel calls a process has 15 bytes; each may have become a replacement character. */
const MAX_PROCESS_NAME = 64;

/** 64-bit in the kernel (device numbers, sizes of sparse files): lost bits are no violation. */
const bigCount = () => z.number().check(z.nonnegative());

const busyProcess = () =>
  z.object({
    pid: pid(),
    uid: id(),
    name: text(MAX_PROCESS_NAME),
    state: text(4),
    cpuMs: bigCount(),
    windowMs: bigCount(),
    rss: bigCount(),
  });

const stats = () =>
  z.object({
    memoryTotal: count(),
    memoryAvailable: count(),
    processes: count(),
    oomKills: count(),
    cpuMs: bigCount(),
    diskTotal: bigCount(),
    diskUsed: bigCount(),
    busiest: z.optional(z.array(busyProcess()).check(z.maxLength(MAX_BUSIEST))),
  });

const stat = () =>
  z.object({
    type: fileType(),
    size: bigCount(),
    mode: count(),
    dev: bigCount(),
    ino: bigCount(),
    nlink: bigCount(),
    uid: count(),
    gid: count(),
    rdev: bigCount(),
    blksize: count(),
    blocks: bigCount(),
    atime: time(),
    mtime: time(),
    ctime: time(),
    birthtime: time(),
  });

const copyReport = () =>
  z.object({
    entries: count(),
    bytes: bigCount(),
    skipped: z.array(z.object({ path: path(), reason: text(4096) })).check(z.maxLength(MAX_ENTRIES)),
  });

const exit = () =>
  z.object({
    code: z.number().check(z.int(), z.minimum(0), z.maximum(255)),
    signal: signal(),
    oom: z.nullable(z.enum(["high-confidence", "low-confidence"])),
  });

type ResultSchemas = { [M in keyof AgentCalls]: () => z.ZodMiniType<AgentCalls[M]["result"]> };

const RESULTS: ResultSchemas = {
  info: () =>
    z.object({
      agent: text(256),
      kernel: text(256),
      arch: text(64),
      bootId: text(64),
      memoryTotal: count(),
      prepared: z.boolean(),
    }),
  prepare: none,
  resume: () => z.object({ bootId: text(64) }),
  clock: none,
  sync: none,
  mount: () => z.object({ device: z.string().check(z.regex(/^[a-z0-9]{1,32}$/)), bytes: bigCount() }),
  unmount: none,
  freeze: none,
  thaw: none,
  grow: () => z.object({ bytes: bigCount() }),
  "folder.place": none,
  "folder.sync": none,
  "folder.mount": () => z.object({ uid: id(), gid: id() }),
  trust: none,
  detach: none,
  attach: none,
  poweroff: none,
  stats,
  exec: () => z.object({ pid: pid() }),
  sftp: () => z.object({ pid: pid() }),
  wait: exit,
  kill: none,
  resize: none,
  listening: () => z.object({ ports: z.array(port()).check(z.maxLength(65_536)) }),
  dial: () => z.object({}),
  "fs.readFile": none,
  "fs.writeFile": none,
  "fs.readDir": () => z.array(z.object({ name: path(), type: fileType() })).check(z.maxLength(MAX_ENTRIES)),
  "fs.walk": none,
  "fs.stat": stat,
  "fs.lstat": stat,
  "fs.remove": none,
  "fs.mkdir": none,
  "fs.rename": none,
  "fs.copyFile": none,
  "fs.chmod": none,
  "fs.chown": none,
  "fs.link": none,
  "fs.symlink": none,
  "fs.readLink": path,
  "fs.realPath": path,
  "fs.makeTemp": path,
  "fs.truncate": none,
  "fs.utime": none,
  "fs.umask": () => z.number().check(z.int(), z.minimum(0), z.maximum(0o777)),
  "fs.open": () => z.object({ handle: count() }),
  "file.read": () => z.object({ data: z.nullable(z.string()) }),
  "file.write": () => z.object({ written: count() }),
  "file.seek": () => z.object({ position: bigCount() }),
  "file.stat": stat,
  "file.truncate": none,
  "file.sync": none,
  "file.lock": none,
  "file.unlock": none,
  "file.close": none,
  "file.utime": none,
  "copy.send": copyReport,
  "copy.receive": copyReport,
};

const FAILURE = z.object({
  code: z.string().check(z.regex(CODE)),
  message: text(MAX_TEXT_CHARS),
  path: z.optional(path()),
});

const HELLO = z.object({
  protocol: count(),
  agent: z._default(text(256), ""),
  arch: z._default(text(64), ""),
  kernel: z._default(text(256), ""),
});

const EVENT = z.discriminatedUnion("event", [
  z.object({ event: z.literal("oom"), pid: count(), comm: text(256) }),
  z.object({ event: z.literal("log"), level: text(32), message: text(MAX_TEXT_CHARS) }),
]);

const ENVELOPE = z.union([z.object({ error: FAILURE }), z.object({ ok: z.unknown() })]);

/** Schemas are built when a method is first used: most sandboxes use few of them. */
const built = new Map<keyof AgentCalls, z.ZodMiniType>();

/**
 * Reads the answer to a call.
 *
 * @throws Error saying what is wrong, if the answer is not one that `method` can have
 */
export function parseReply<M extends keyof AgentCalls>(method: M, payload: Buffer): AgentOutcome<M> {
  const envelope = ENVELOPE.parse(JSON.parse(payload.toString("utf8")));
  if ("error" in envelope) return envelope;
  let schema = built.get(method);
  if (schema === undefined) {
    schema = RESULTS[method]();
    built.set(method, schema);
  }
  return { ok: schema.parse(envelope.ok) as AgentCalls[M]["result"] };
}

/** Reads the payload of a FAIL frame. @throws Error saying what is wrong */
export function parseFailure(payload: Buffer): AgentFailure {
  return FAILURE.parse(JSON.parse(payload.toString("utf8")));
}

/** Reads an EVENT. Undefined for one of a kind that this sbx does not know; a known one must be right. */
export function parseEvent(payload: Buffer): AgentEvent | undefined {
  const value: unknown = JSON.parse(payload.toString("utf8"));
  const kind = z.object({ event: text(64) }).parse(value).event;
  return kind === "oom" || kind === "log" ? EVENT.parse(value) : undefined;
}

/** Reads what may be the payload of a HELLO; undefined for anything else. */
export function findHello(payload: Buffer): AgentHello | undefined {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    return undefined; // debris of a former link that looks like a header
  }
  const result = HELLO.safeParse(value);
  return result.success ? result.data : undefined;
}
