/**
 * The benchmark keeps its sandboxes, templates and its image with an sshd apart from the user's, but does not build the
 * base image again: it takes the user's by hard links. Images are never written, so both may hold them.
 */
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";

const IMAGE_ID = /^[0-9a-f]{64}$/;

/** Links every image of `from` that `to` does not have, and its names. */
export function shareImages(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (!entry.isDirectory() || !IMAGE_ID.test(entry.name) || existsSync(path.join(to, entry.name))) continue;
    linkFiles(path.join(from, entry.name), path.join(to, entry.name));
  }
  const names = path.join(from, "names");
  if (!existsSync(names)) return;
  mkdirSync(path.join(to, "names"), { recursive: true, mode: 0o700 });
  for (const name of readdirSync(names)) copyFileSync(path.join(names, name), path.join(to, "names", name));
}

function linkFiles(from: string, to: string): void {
  mkdirSync(to, { mode: 0o700 });
  for (const name of readdirSync(from)) linkOrCopy(path.join(from, name), path.join(to, name));
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    copyFileSync(from, to);
  }
}
