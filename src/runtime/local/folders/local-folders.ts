/** Folders of this machine's sandboxes. */
import { FOLDERS_TARGET, folderViews, MAX_FOLDERS_ANSWER_BYTES } from "../../../protocol/folder-launch.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { throwIfAborted } from "../../abort.ts";
import { SbxError } from "../../errors.ts";
import type { Comparison, CopyInfo, FolderApi, MountInfo } from "../../folders.ts";
import type { CallOptions, Sandbox } from "../../runtime.ts";
import { callSupervisor } from "../supervisor-client.ts";

const TIMEOUT_MS = 10_000;

export interface LocalFoldersOptions {
  find: (ref: string) => SandboxRow;
  findRunning: (ref: string) => SandboxRow;
  connect: (ref: string, options: CallOptions) => Promise<Sandbox>;
  /** Told each directory of the host for incomplete files, before there are any. */
  onStaging: (path: string) => Disposable;
}

export class LocalFolders implements FolderApi {
  readonly #options: LocalFoldersOptions;

  constructor(options: LocalFoldersOptions) {
    this.#options = options;
  }

  async mounts(ref: string, { signal }: CallOptions = {}): Promise<MountInfo[]> {
    const { socket } = this.#options.findRunning(ref);
    const answer = await callSupervisor(socket, "GET", FOLDERS_TARGET, {
      ...{ signal, timeoutMs: TIMEOUT_MS, maxAnswerBytes: MAX_FOLDERS_ANSWER_BYTES },
      refused: (_status, message) => new SbxError("guest_error", message),
    });
    return folderViews()
      .parse(answer)
      .map(({ readOnly, ...view }) => ({ ...view, access: readOnly ? "read-only" : "read-write" }));
  }

  async copies(ref: string, { signal }: CallOptions = {}): Promise<CopyInfo[]> {
    throwIfAborted(signal, "looking at the copies");
    const { readManifests } = await import("./copy-manifest.ts");
    const manifests = readManifests(this.#options.find(ref).directory);
    return [...manifests.values()].map(({ entries, ...facts }) => ({ ...facts, entries: entries.size }));
  }

  async compare(ref: string, options: CallOptions & { hostPath?: string } = {}): Promise<Comparison> {
    const row = this.#options.findRunning(ref);
    const { openComparison } = await import("./comparison.ts");
    const { onStaging } = this.#options;
    return openComparison(row, { ...options, onStaging, connect: (call) => this.#options.connect(row.id, call) });
  }
}
