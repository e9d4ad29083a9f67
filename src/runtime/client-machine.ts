/**
 * What a runtime elsewhere needs of the machine that its user is at: secrets that are stored here, files that are copied
 * from here, SSH clients that run here.
 */
import type { CopySpec } from "./folder-spec.ts";
import type { Comparison, CopyInfo } from "./folders.ts";
import type { SecretApi, SecretHostRecord } from "./network.ts";
import type { CreateOptions, Sandbox } from "./runtime.ts";
import type { SshFiles } from "./ssh.ts";
import type { CallerEnvironment, CallOptions, SecretRequest } from "./types.ts";

export interface ClientMachine {
  /**
   * The values of secrets, stored ones first, then those of the caller's environment.
   *
   * @throws SbxError `secret_not_found`, `secret_unreadable`, `usage`
   */
  grantSecrets(
    requests: readonly SecretRequest[],
    options: CallOptions & CallerEnvironment,
  ): Promise<readonly GrantedValue[]>;
  /** The secrets that are stored here. A server keeps none. */
  readonly secrets: SecretApi;
  /** What is to be copied, checked before anything is made. @throws SbxError `folder_refused`, `file_error`, `usage` */
  planCopies(copies: readonly CopySpec[], server: string): Promise<PlannedCopies>;
  /** What was copied, as it was then. */
  readonly copies: CopyRecords;
  /** Records of incomplete files, for as long as something is fetched: what a killed command leaves is removed by the next. */
  openStaging(): Promise<Disposable & { record(path: string): Disposable }>;
  /** Where SSH clients find the key and the hosts of servers. */
  openSsh(): Promise<ClientSsh>;
}

export interface GrantedValue {
  name: string;
  hosts: readonly SecretHostRecord[];
  value: string;
}

export interface PlannedCopies {
  /** Makes them, and writes down what they were. @throws SbxError as `Sandbox.upload` does */
  make(sandbox: Sandbox, options: CallOptions & Pick<CreateOptions, "onNotice">): Promise<void>;
}

/** A sandbox on a server: ids are unique at each of them. */
export interface CopiedSandbox {
  server: string;
  id: string;
  name: string | null;
}

export interface CopyRecords {
  list(sandbox: CopiedSandbox): Promise<CopyInfo[]>;
  /** As `FolderApi.compare`. @param options.connect opens the sandbox, which runs */
  compare(
    sandbox: CopiedSandbox,
    options: CallOptions & {
      hostPath?: string;
      connect: (options: CallOptions) => Promise<Sandbox>;
      onStaging: (path: string) => Disposable;
    },
  ): Promise<Comparison>;
}

export interface ClientSsh extends SshFiles {
  /** `ssh-ed25519 AAAA…` */
  publicKey: string;
  /** Has clients know the key of a host on a server from now on. */
  pin(host: { hostName: string; key: string; sandboxId: string }): void;
}
