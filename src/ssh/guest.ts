/**
 * What the SSH door needs of the sandbox behind it. The supervisor implements it over the agent link; everything that
 * comes out of it was made by the guest.
 */
import type { Duplex, Readable, Writable } from "node:stream";

export interface SshGuest {
  /** Undefined if there is no such account. @throws Error where the guest cannot be asked */
  findAccount(name: string): Promise<SshAccount | undefined>;
  /** @throws Error that tells the user why it did not start */
  start(spec: SshProcessSpec): Promise<SshProcess>;
  /** Connects to a server in the guest. @throws Error that tells the user why not */
  connect(address: SshAddress, account: SshAccount, signal: AbortSignal): Promise<Duplex>;
  /** An SFTP server with the rights of the account: its input and output. */
  openSftp(account: SshAccount): Promise<Duplex>;
}

export interface SshAccount {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
}

export type SshAddress = { host: string; port: number } | { path: string };

export interface SshProcessSpec {
  account: SshAccount;
  /** For the account's shell; a login shell without one. */
  command: string | undefined;
  /** What the client asked for, over the sandbox's own. */
  env: Readonly<Record<string, string>>;
  terminal: { cols: number; rows: number } | undefined;
}

export interface SshProcess {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Absent with a terminal. */
  readonly stderr: Readable | undefined;
  /** Settles after the last byte of output was sent; rejects when the sandbox is gone. */
  readonly exit: Promise<SshExit>;
  /** Sends to the whole process group; a name such as `SIGINT`. */
  signal(name: string): void;
  resize(size: { cols: number; rows: number }): void;
}

export interface SshExit {
  code: number;
  /** Such as `SIGKILL`, if that ended it. */
  signal: string | null;
}
