/**
 * Images are common to the user and the organisations of control planes. A home that uses the user's images leaves a
 * link to its state beside them, so that no image is removed that something in there stands on.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { DiskStore } from "../../../store/disks/disk-store.ts";
import { SandboxStore } from "../../../store/sandbox-store.ts";
import { imageUsers, type ImageUser } from "../disks/image-users.ts";
import type { StatePaths } from "../paths.ts";

/** Long enough for whoever writes, `ms`. */
const BUSY_TIMEOUT_MS = 10_000;

type ImagePaths = Pick<StatePaths, "imageDataPath" | "statePath">;

export function pinImages({ imageDataPath, statePath }: ImagePaths): void {
  const directory = pinsPath(imageDataPath);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const name = createHash("sha256").update(statePath).digest("hex").slice(0, 16);
  try {
    symlinkSync(statePath, path.join(directory, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** What stands on an image in homes other than this one. A home that is gone uses nothing. */
export function usersElsewhere({ imageDataPath, statePath }: ImagePaths, imageId: string): ImageUser[] {
  const directory = pinsPath(imageDataPath);
  if (!existsSync(directory)) return [];
  const homes = readdirSync(directory).map((name) => readlinkSync(path.join(directory, name)));
  return homes.filter((home) => home !== statePath).flatMap((home) => usersIn(home, imageId));
}

function usersIn(statePath: string, imageId: string): ImageUser[] {
  const file = path.join(statePath, "sbx.db");
  if (!existsSync(file)) return [];
  using database = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
  const organisation = path.basename(path.dirname(statePath));
  const rows = new SandboxStore(database).listLive().filter(({ spec }) => spec.imageId === imageId);
  const sandboxes = rows.map(({ id }): ImageUser => ({ kind: "sandbox", name: id }));
  // Nothing is written through this store: the catalogue's place is of no account.
  const disks = imageUsers(new DiskStore(database, ""), imageId);
  return [...sandboxes, ...disks].map(({ kind, name }) => ({ kind, name: `${name} of organisation ${organisation}` }));
}

function pinsPath(imageDataPath: string): string {
  return path.join(imageDataPath, "image-users");
}
