/** The calls of the agent protocol as types (docs/protocol-agent.md has the words). */

export interface AgentHello {
  protocol: number;
  agent: string;
  arch: string;
  kernel: string;
}

export type AgentEvent = { event: "oom"; pid: number; comm: string } | { event: "log"; level: string; message: string };

export type FileType = "file" | "dir" | "symlink" | "block" | "char" | "fifo" | "socket";

export interface AgentStat {
  type: FileType;
  size: number;
  mode: number;
  dev: number;
  ino: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  blksize: number;
  blocks: number;
  /** Milliseconds since the epoch. */
  atime: number;
  mtime: number;
  ctime: number;
  birthtime: number;
}

export interface AgentDirEntry {
  name: string;
  type: FileType;
}

export interface AgentWalkEntry extends AgentDirEntry {
  path: string;
  depth: number;
}

/** Figures of the guest as a whole. */
export interface AgentStats {
  memoryTotal: number;
  memoryAvailable: number;
  processes: number;
  oomKills: number;
  /** Time that its processors have worked since the boot, `ms`. */
  cpuMs: number;
  /** Of its root file system, `bytes`. */
  diskTotal: number;
  diskUsed: number;
  /** As many as were asked for, the busiest first; absent if none were. */
  busiest?: AgentProcess[] | undefined;
}

/** One process of the guest. Its name was chosen there. */
export interface AgentProcess {
  pid: number;
  uid: number;
  name: string;
  /** As in /proc/PID/stat. */
  state: string;
  /** Processor time within the window, `ms`. */
  cpuMs: number;
  windowMs: number;
  /** Resident memory, `bytes`. */
  rss: number;
}

export interface AgentExecParams {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
  user: string;
  pty: { cols: number; rows: number } | null;
  stdin: number | null;
  stdout: number | null;
  stderr: number | null;
  /** More descriptors (3 and up): a pipe to the host with `read`, from it with `write`, a socket with both. */
  extra?: { fd: number; read?: number; write?: number }[];
  /** Pipes are carried until nobody holds them any more, and not only until the process has ended. */
  lingers?: boolean;
}

/** An SFTP server with a user's rights: a process as of `exec`, of the agent's own program. */
export interface AgentSftpParams {
  env: Record<string, string>;
  /** Where relative paths begin. */
  cwd: string;
  user: string;
  stdin: number;
  stdout: number;
  stderr: number | null;
}

export interface AgentExit {
  code: number;
  signal: string | null;
  oom: "high-confidence" | "low-confidence" | null;
}

export interface AgentCopyReport {
  entries: number;
  bytes: number;
  skipped: { path: string; reason: string }[];
}

/** A certificate authority for the guest's stores. */
export interface TrustedRoot {
  /** For its files: `sbx-` and lower-case letters, digits and dashes. */
  name: string;
  /** One certificate. */
  pem: string;
  /** The hash of its subject, as `openssl x509 -subject_hash` prints it. */
  hash: string;
}

interface WithPath {
  path: string;
  user: string;
}

interface Call<P, R> {
  params: P;
  result: R;
}

export interface AgentCalls {
  info: Call<
    Record<string, never>,
    { agent: string; kernel: string; arch: string; bootId: string; memoryTotal: number; prepared: boolean }
  >;
  prepare: Call<{ diskBytes: number }, null>;
  resume: Call<{ entropy: string; unixNs: string; hostname: string; machineId: string }, { bootId: string }>;
  clock: Call<{ unixNs: string }, null>;
  sync: Call<Record<string, never>, null>;
  mount: Call<
    { serial: string; path: string; readOnly: boolean; user: string },
    /** `device` is the guest's word for it, such as `sda`. */
    { device: string; bytes: number }
  >;
  unmount: Call<{ path: string }, null>;
  freeze: Call<{ path: string; limitMs: number }, null>;
  thaw: Call<{ path: string }, null>;
  grow: Call<{ path: string; bytes: number }, { bytes: number }>;
  "folder.place": Call<WithPath, null>;
  "folder.sync": Call<{ path: string }, null>;
  /** `read` carries requests of the guest's kernel to the host, `write` the answers. */
  "folder.mount": Call<WithPath & { readOnly: boolean; read: number; write: number }, { uid: number; gid: number }>;
  trust: Call<{ roots: readonly TrustedRoot[] }, null>;
  detach: Call<Record<string, never>, null>;
  attach: Call<Record<string, never>, null>;
  poweroff: Call<Record<string, never>, null>;
  stats: Call<{ processes?: number }, AgentStats>;
  exec: Call<AgentExecParams, { pid: number }>;
  sftp: Call<AgentSftpParams, { pid: number }>;
  wait: Call<{ pid: number }, AgentExit>;
  kill: Call<{ pid: number; signal: string; group: boolean }, null>;
  resize: Call<{ pid: number; cols: number; rows: number }, null>;
  listening: Call<{ pid: number }, { ports: number[] }>;
  dial: Call<
    /** With a path, `user` is who connects. */
    { host?: string; port?: number; path?: string; user?: string; read: number; write: number; timeoutMs: number },
    Record<string, never>
  >;
  "fs.readFile": Call<WithPath & { stream: number }, null>;
  "fs.writeFile": Call<
    WithPath & { stream: number; append: boolean; create: boolean; createNew: boolean; mode: number | null },
    null
  >;
  "fs.readDir": Call<WithPath, AgentDirEntry[]>;
  "fs.walk": Call<WithPath & { maxDepth: number | null; follow: boolean; canonicalize: boolean; stream: number }, null>;
  "fs.stat": Call<WithPath, AgentStat>;
  "fs.lstat": Call<WithPath, AgentStat>;
  "fs.remove": Call<WithPath & { recursive: boolean }, null>;
  "fs.mkdir": Call<WithPath & { recursive: boolean; mode: number | null }, null>;
  "fs.rename": Call<{ from: string; to: string; user: string }, null>;
  "fs.copyFile": Call<{ from: string; to: string; user: string }, null>;
  "fs.chmod": Call<WithPath & { mode: number }, null>;
  "fs.chown": Call<WithPath & { uid: number | null; gid: number | null }, null>;
  "fs.link": Call<WithPath & { target: string }, null>;
  "fs.symlink": Call<WithPath & { target: string }, null>;
  "fs.readLink": Call<WithPath, string>;
  "fs.realPath": Call<WithPath, string>;
  "fs.makeTemp": Call<{ dir: string; prefix: string; suffix: string; directory: boolean; user: string }, string>;
  "fs.truncate": Call<WithPath & { length: number }, null>;
  "fs.utime": Call<WithPath & { atime: number; mtime: number }, null>;
  "fs.umask": Call<{ mask: number | null }, number>;
  "fs.open": Call<
    WithPath & {
      read: boolean;
      write: boolean;
      append: boolean;
      truncate: boolean;
      create: boolean;
      createNew: boolean;
      mode: number | null;
    },
    { handle: number }
  >;
  "file.read": Call<{ handle: number; length: number }, { data: string | null }>;
  "file.write": Call<{ handle: number; data: string }, { written: number }>;
  "file.seek": Call<{ handle: number; offset: string; whence: 0 | 1 | 2 }, { position: number }>;
  "file.stat": Call<{ handle: number }, AgentStat>;
  "file.truncate": Call<{ handle: number; length: number }, null>;
  "file.sync": Call<{ handle: number; dataOnly: boolean }, null>;
  "file.lock": Call<{ handle: number; exclusive: boolean }, null>;
  "file.unlock": Call<{ handle: number }, null>;
  "file.close": Call<{ handle: number }, null>;
  "file.utime": Call<{ handle: number; atime: number; mtime: number }, null>;
  "copy.send": Call<{ paths: string[]; user: string; stream: number; globs: boolean }, AgentCopyReport>;
  "copy.receive": Call<{ destination: string; user: string; stream: number; directory: boolean }, AgentCopyReport>;
}
