/** SSH into sandboxes, as commands see it. Part of the Runtime interface. */
import type { Duplex } from "node:stream";
import type { CallOptions } from "./types.ts";

export interface SshApi {
  /**
   * Opens a connection to the SSH server of a running sandbox. Before it returns, the server's key is among the known
   * hosts under the host name that is given.
   *
   * @throws SbxError `sandbox_not_found`, `sandbox_ambiguous`, `sandbox_stopped`, `sandbox_paused`, `supervisor_lost`
   */
  open(ref: string, options: SshOpenOptions): Promise<SshConnection>;
  /**
   * The same for a client that is elsewhere: with its own key, and nothing is remembered here.
   *
   * @throws SbxError as {@link open}
   */
  openWithKey(ref: string, options: CallOptions & { publicKey: string }): Promise<KeyedSshConnection>;
  /**
   * A connection to the SSH services of a running sandbox for a client whose transport ends at the caller, who knows who it
   * is: messages of RFC 4254 in frames (a uint32 of the length, then the message), both ways. It has the rights of the
   * sandbox's ordinary account.
   *
   * @throws SbxError as {@link open}, and `unsupported` where this cannot be had
   */
  openMessages(ref: string, options?: CallOptions): Promise<Duplex>;
  /** Where SSH clients find what they need. What is missing is made. */
  files(options?: CallOptions): Promise<SshFiles>;
}

export interface SshOpenOptions extends CallOptions {
  /** What the client calls the sandbox. */
  hostName: string;
  /** Whether the server waits for the client's first byte, so that the stream can be handed over before. */
  clientFirst?: boolean;
}

export interface SshConnection {
  readonly sandboxId: string;
  /** SSH from its first byte on. A socket of this machine where the sandbox is on this machine. */
  readonly stream: Duplex;
}

export interface KeyedSshConnection extends SshConnection {
  /** The server's key, `ssh-ed25519 AAAA…`, as the one that the client names. */
  readonly hostKey: string;
}

export interface SshFiles {
  /** A directory of sbx's own, closed to others. */
  readonly directoryPath: string;
  /** The private key that all sandboxes of this runtime take; its public half is beside it, with `.pub`. */
  readonly identityPath: string;
  /** Of sandboxes of this machine, `NAME.sbx`. */
  readonly knownHostsPath: string;
  /** Of sandboxes on servers, `NAME.CONTEXT.sbx`. */
  readonly serverKnownHostsPath: string;
}
