/** An export that a server sends, written to this machine: whole, or not there at all. */
import { randomBytes } from "node:crypto";
import { link, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { syncPath } from "../../../host/durable-file.ts";
import type { ControlResult } from "../../../protocol/control-calls.ts";
import type { ExportReport, ExportTarget } from "../../disks.ts";
import { SbxError } from "../../errors.ts";
import type { CallOptions } from "../../types.ts";

type Pieces = AsyncIterable<ControlResult<"volume.export">>;

/** @throws SbxError `connection_closed` where it broke off, `file_error`; nothing of a file is left then */
export async function writeExport(pieces: Pieces, target: ExportTarget, options: CallOptions): Promise<ExportReport> {
  const received = new ReceivedExport(pieces, options);
  if ("path" in target) await intoFile(received, target);
  // The stream is the caller's, who ends it.
  else await pipeline(Readable.from(received, { objectMode: false }), target, { end: false });
  return received.report;
}

class ReceivedExport implements AsyncIterable<Buffer> {
  readonly #pieces: Pieces;
  readonly #options: CallOptions;
  #report: ExportReport | undefined;

  constructor(pieces: Pieces, options: CallOptions) {
    this.#pieces = pieces;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Buffer> {
    let done = 0;
    for await (const piece of this.#pieces) {
      if (this.#report !== undefined) throw wrong("it goes on behind its end");
      if ("report" in piece) {
        this.#report = piece.report;
        continue;
      }
      const bytes = Buffer.from(piece.data, "base64");
      done += bytes.length;
      this.#options.onProgress?.({ stage: "export", message: "exporting", done, unit: "bytes" });
      yield bytes;
    }
    if (this.#report?.fileBytes !== done) throw wrong("it has other bytes than it says");
  }

  get report(): ExportReport {
    if (this.#report === undefined) throw wrong("it has no end");
    return this.#report;
  }
}

function wrong(why: string): SbxError {
  return new SbxError("server_failed", `what the server sent is no export: ${why}`, { hint: "try it again" });
}

async function intoFile(bytes: AsyncIterable<Buffer>, target: { path: string; overwrite: boolean }): Promise<void> {
  const filePath = path.resolve(target.path);
  const temporaryPath = `${filePath}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(temporaryPath, "wx", 0o600).catch((cause: unknown) => {
      throw new SbxError("file_error", `${filePath} cannot be written`, { cause });
    });
    try {
      for await (const piece of bytes) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await takeName(temporaryPath, filePath, target.overwrite);
  } catch (error) {
    await rm(temporaryPath, { force: true });
    throw error;
  }
  await syncPath(path.dirname(filePath));
}

/** Without `overwrite` the name must be free, also in this very moment. */
async function takeName(temporaryPath: string, filePath: string, overwrite: boolean): Promise<void> {
  if (overwrite) return rename(temporaryPath, filePath);
  try {
    await link(temporaryPath, filePath);
  } catch (cause) {
    throw new SbxError("file_error", `${filePath} is there already`, {
      cause,
      hint: "choose another name, or --force",
    });
  }
  await rm(temporaryPath, { force: true });
}
