/**
 * The folders of a sandbox: directories of the host that its guest sees. Each has a FUSE server here (src/folders) and
 * two streams of the agent link, over which the guest's kernel asks it.
 */
import { FolderServer } from "../folders/folder-server.ts";
import { findIdentity } from "../folders/host-tree.ts";
import { HandleBudget } from "../folders/open-files.ts";
import { serveFolder } from "../folders/serve-folder.ts";
import type { AgentLink } from "../guest/link.ts";
import type { FolderLaunch, FolderMountRecord, FolderView } from "../protocol/folder-launch.ts";
import { SbxError } from "../runtime/errors.ts";

/** How long a sandbox's end waits for the guest to write, `ms`. */
const SETTLE_MS = 3000;

export interface FolderContext {
  link: AgentLink;
  /** The guest's account that everything in a folder belongs to. */
  user: string;
  signal: AbortSignal;
  log: (message: string) => void;
}

interface Mounted {
  record: FolderMountRecord;
  server: FolderServer;
  served: Promise<void>;
  failure: string | null;
}

export class SandboxFolders implements AsyncDisposable {
  readonly #mounts: Mounted[] = [];
  #over = false;

  /** Makes and mounts what the launch asks for. @throws SbxError */
  async open(launch: FolderLaunch, context: FolderContext): Promise<void> {
    const { link, user, signal } = context;
    const forbidden = new Set(launch.forbiddenPaths.map(findIdentity).filter((found) => found !== undefined));
    const budget = new HandleBudget();
    for (const record of launch.mounts) {
      try {
        await this.#mount(record, { ...context, budget, forbidden });
      } catch (cause) {
        signal.throwIfAborted();
        throw new SbxError("folder_failed", `'${record.hostPath}' could not be mounted at '${record.guestPath}'`, {
          cause,
        });
      }
    }
    for (const path of launch.places) {
      try {
        await link.call("folder.place", { path, user }, { signal });
      } catch (cause) {
        signal.throwIfAborted();
        throw new SbxError("folder_failed", `'${path}' could not be made in the sandbox`, { cause });
      }
    }
  }

  /** Whether the guest may have written to any of them. */
  get hasWrites(): boolean {
    return this.#mounts.some(({ record, failure }) => !record.readOnly && failure === null);
  }

  get views(): FolderView[] {
    return this.#mounts.map(({ record, server, failure }) => ({ ...record, ...server.use(), failure }));
  }

  /** While the guest still runs: what its programs changed in mapped files comes to the host. */
  async settle(link: AgentLink): Promise<void> {
    const signal = AbortSignal.timeout(SETTLE_MS);
    const writable = this.#mounts.filter(({ record, failure }) => !record.readOnly && failure === null);
    // A guest that hangs keeps nobody from ending it.
    await Promise.allSettled(
      writable.map(({ record }) => link.call("folder.sync", { path: record.guestPath }, { signal })),
    );
  }

  /** Once the guest is gone: nobody asks any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    await Promise.all(this.#mounts.map(({ served }) => served));
    for (const { server } of this.#mounts) server[Symbol.dispose]();
  }

  async #mount(
    record: FolderMountRecord,
    { link, user, signal, log, ...shared }: FolderContext & { budget: HandleBudget; forbidden: ReadonlySet<string> },
  ): Promise<void> {
    const { guestPath: path, readOnly } = record;
    const requests = link.openReadable();
    const answers = link.openWritable();
    let server: FolderServer | undefined;
    try {
      const streams = { read: requests.streamId, write: answers.streamId };
      const owner = await link.call("folder.mount", { path, user, readOnly, ...streams }, { signal });
      server = new FolderServer({ ...record, owner, ...shared });
      const mounted: Mounted = { record, server, failure: null, served: Promise.resolve() };
      // The sandbox goes on without it: who is in the folder gets errors.
      const ended = (why: string): void => {
        mounted.failure = why;
        if (!this.#over) log(`the folder ${record.hostPath} is not served any more: ${why}`);
      };
      mounted.served = serveFolder(server, requests, answers).then(
        () => ended("it was unmounted in the sandbox"),
        (error: unknown) => ended(error instanceof Error ? error.message : String(error)),
      );
      this.#mounts.push(mounted);
    } catch (error) {
      requests.destroy();
      answers.destroy();
      server?.[Symbol.dispose]();
      throw error;
    }
  }
}
