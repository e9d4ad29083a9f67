/**
 * A program of its own: attaches the disk of VS Code to a sandbox whose supervisor asks for it, and makes it if there is
 * none. A supervisor knows neither the disks of its user nor how they are made.
 *
 * On stdin it reads one JSON object, `{ id, home }` (AttachEditor); on stdout it writes another one: `{}`, or `{ error }`.
 */
import { text } from "node:stream/consumers";
import { z } from "zod";
import { acquireLock } from "../../../store/locks.ts";
import { toErrorRecord } from "../../errors.ts";
import { DEFAULT_SETTINGS } from "../../defaults.ts";
import { LocalVolumes } from "../disks/local-volumes.ts";
import { LocalImages } from "../images.ts";
import { pathsBelow } from "../paths.ts";
import { findSandbox } from "../sandbox-id.ts";
import { openState } from "../state.ts";
import { attachEditorDisk, editorLock } from "./editor-disk.ts";

const inputSchema = z.object({
  id: z.string(),
  home: z.object({
    imageDataPath: z.string(),
    dataPath: z.string(),
    statePath: z.string(),
    verdictPath: z.string(),
    socketsPath: z.string(),
  }),
});

async function attach(input: string): Promise<void> {
  const { id, home } = inputSchema.parse(JSON.parse(input));
  using state = await openState(process.env, { ...pathsBelow(home.dataPath, home.statePath), ...home });
  const images = new LocalImages({
    ...{ dataPath: home.imageDataPath, usedBy: async () => Promise.resolve([]), defaultImage: DEFAULT_SETTINGS.image },
  });
  const context = { state, images };
  const volumes = new LocalVolumes({
    ...{ context, defaultBytes: DEFAULT_SETTINGS.diskBytes },
    findRunning: (ref) => findSandbox(state.store.list(), ref),
  });
  await using _lock = await acquireLock(state.database, editorLock(id), {});
  await attachEditorDisk(context, volumes, id, {});
}

const answer = await attach(await text(process.stdin)).then(
  () => ({}),
  (error: unknown) => ({ error: toErrorRecord(error) }),
);
process.stdout.write(`${JSON.stringify(answer)}\n`);
