/** Hashes of files on the host's disk. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

export interface HashedFile {
  sizeBytes: number;
  /** Lower-case hex. */
  sha256: string;
}

/** Reads a file to its end. `onBytes` receives how far it got. */
export async function hashFile(
  filePath: string,
  options: { signal?: AbortSignal | undefined; onBytes?: (doneBytes: number) => void } = {},
): Promise<HashedFile> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const stream = createReadStream(filePath, { highWaterMark: 1024 * 1024 });
  for await (const chunk of stream) {
    options.signal?.throwIfAborted();
    const bytes = chunk as Buffer;
    hash.update(bytes);
    sizeBytes += bytes.length;
    options.onBytes?.(sizeBytes);
  }
  return { sizeBytes, sha256: hash.digest("hex") };
}
