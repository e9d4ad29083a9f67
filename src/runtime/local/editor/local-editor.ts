/** VS Code for the browser in this machine's sandboxes: its disk is attached, it is started in the guest, and exposed. */
import { readFile, rm } from "node:fs/promises";
import path from "node:path";
import * as z from "zod/mini";
import { writeDurably } from "../../../host/durable-file.ts";
import {
  editorStarted,
  editorStopped,
  editorUrl,
  EDITOR_DEFAULT_FOLDER,
  EXTENSION_GALLERY_URL,
  type EditorStarted,
} from "../../../protocol/editor-launch.ts";
import type { SandboxRow } from "../../../store/sandbox-store.ts";
import { acquireLock } from "../../../store/locks.ts";
import type { Editor, EditorApi, EditorSpec } from "../../editor.ts";
import { SbxError } from "../../errors.ts";
import type { Runtime, Sandbox } from "../../runtime.ts";
import type { CallOptions } from "../../types.ts";
import type { DiskContext } from "../disks/disk-context.ts";
import { attachEditorDisk, editorLock, findEditorDisk } from "./editor-disk.ts";
import { runLauncher } from "./launcher.ts";
import { answersAsEditor } from "./probe.ts";

/** In a sandbox's directory: what its URL is made of. */
const RECORD_FILE = "editor.json";

const recordSchema = z.strictObject({
  guestPort: z.int().check(z.minimum(1), z.maximum(65_535)),
  token: z.string().check(z.regex(/^[\w-]{16,64}$/)),
});
type EditorRecord = z.output<typeof recordSchema>;

export interface LocalEditorOptions {
  context: DiskContext;
  findRunning: (ref: string) => SandboxRow;
  runtime: Pick<Runtime, "connect" | "exposures" | "network" | "volumes">;
}

export class LocalEditor implements EditorApi {
  readonly #options: LocalEditorOptions;

  constructor(options: LocalEditorOptions) {
    this.#options = options;
  }

  async open(ref: string, { folder = EDITOR_DEFAULT_FOLDER }: EditorSpec, options: CallOptions = {}): Promise<Editor> {
    const { findRunning, runtime } = this.#options;
    const row = findRunning(ref);
    const { id } = row;
    await using sandbox = await runtime.connect(id, options);
    await using _lock = await this.#lock(id, options);
    const last = await readRecord(recordPath(row));
    const isThere = last !== undefined && (await answersAsEditor(sandbox, last.guestPort, options.signal));
    const { port, token, isNew } = isThere
      ? { port: last.guestPort, token: last.token, isNew: false }
      : await this.#start(row, sandbox, options);
    const { url } = await runtime.exposures.add(id, { guestPort: port }, options);
    return { url: editorUrl(url, { token }, folder), folder, guestPort: port, isNew };
  }

  async stop(ref: string, options: CallOptions = {}): Promise<boolean> {
    const { findRunning, runtime } = this.#options;
    const row = findRunning(ref);
    await using sandbox = await runtime.connect(row.id, options);
    await using _lock = await this.#lock(row.id, options);
    const volumeId = findEditorDisk(this.#options.context, row.id);
    if (volumeId === undefined) return false;
    const { stopped } = parseAnswer(editorStopped(), await runLauncher(sandbox, { action: "stop" }, options));
    await this.#remember(row, null, options);
    await runtime.volumes.detach(volumeId, row.id, options);
    return stopped;
  }

  async #start(row: SandboxRow, sandbox: Sandbox, options: CallOptions): Promise<EditorStarted> {
    const { context, runtime } = this.#options;
    await attachEditorDisk(context, runtime.volumes, row.id, options);
    options.onProgress?.({ stage: "editor", message: "starting VS Code in the sandbox" });
    const launch = { action: "start", gallery: await this.#mayReachGallery(row.id, options) } as const;
    const started = parseAnswer(editorStarted(), await runLauncher(sandbox, launch, options));
    await this.#remember(row, { guestPort: started.port, token: started.token }, options);
    return started;
  }

  /** What it is reached by from now on. The URL of another port goes; which that was is not for the guest to say. */
  async #remember(row: SandboxRow, next: EditorRecord | null, options: CallOptions): Promise<void> {
    const last = await readRecord(recordPath(row));
    if (last !== undefined && last.guestPort !== next?.guestPort) {
      await this.#options.runtime.exposures.remove(row.id, last.guestPort, options).catch((error: unknown) => {
        if (!(error instanceof SbxError) || error.code !== "exposure_not_found") throw error;
      });
    }
    if (next === null) await rm(recordPath(row), { force: true });
    else await writeDurably(recordPath(row), `${JSON.stringify(next)}\n`, 0o600);
  }

  /** Extensions come from where the sandbox's policy lets it fetch them, or not at all. */
  async #mayReachGallery(id: string, { signal }: CallOptions): Promise<boolean> {
    const call = signal === undefined ? {} : { signal };
    const { decision } = await this.#options.runtime.network.check(id, "GET", EXTENSION_GALLERY_URL, call);
    return decision.verdict === "allow";
  }

  async #lock(id: string, { signal }: CallOptions): Promise<AsyncDisposable> {
    return acquireLock(this.#options.context.state.database, editorLock(id), signal === undefined ? {} : { signal });
  }
}

/** @throws SbxError `guest_error`: the guest may answer anything */
function parseAnswer<T>(schema: z.ZodMiniType<T>, answer: unknown): T {
  const { data, success } = schema.safeParse(answer);
  if (success) return data;
  throw new SbxError("guest_error", "what VS Code's launcher in the sandbox answered is not what it should be");
}

function recordPath({ directory }: SandboxRow): string {
  return path.join(directory, RECORD_FILE);
}

async function readRecord(file: string): Promise<EditorRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return undefined; // There was none.
  }
}
