/**
 * Puts files and links in their places: made under a temporary name, renamed when complete. An existing file is
 * replaced, never written through; an existing directory is not replaced.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import type { CopyEntry } from "./copy-records.ts";
import type { DirectoryHandle } from "./directory-handle.ts";
import { toFileTime } from "./file-time.ts";
import { errnoOf } from "./host-errors.ts";
import { Staging } from "./staging.ts";

const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** No set-user-id, no set-group-id, no sticky bit. */
const FILE_MODE_BITS = 0o777;

/** Where something goes: an open directory and a name in it. */
export interface Place {
  directory: DirectoryHandle;
  component: string;
}

export class FilePlacer implements Disposable {
  readonly #root: DirectoryHandle;
  readonly #rootPath: string;
  readonly #onStaging: ((path: string) => void) | undefined;
  #staging: Staging | undefined;

  constructor(root: DirectoryHandle, rootPath: string, onStaging?: (path: string) => void) {
    this.#root = root;
    this.#rootPath = rootPath;
    this.#onStaging = onStaging;
  }

  /** Starts a file; its content follows. */
  openFile(entry: CopyEntry, place: Place): FileWriter {
    const path = this.#next();
    return new FileWriter(openSync(path, CREATE_FLAGS, 0o600), entry, () => this.#installFile(path, place));
  }

  symlink(entry: CopyEntry, place: Place): void {
    const time = toFileTime(entry.mtimeMs);
    this.#create(place, (path) => {
      symlinkSync(entry.link, path);
      lutimesSync(path, time, time);
    });
  }

  /** @param existing the file that gets one more name; a link is not followed, and refused before it comes here */
  hardLink(existing: Place, place: Place): void {
    this.#create(place, (path) => linkSync(existing.directory.child(existing.component), path));
  }

  [Symbol.dispose](): void {
    this.#staging?.[Symbol.dispose]();
    this.#staging = undefined;
  }

  #next(): string | Buffer {
    return this.#openStaging().next();
  }

  #openStaging(): Staging {
    if (this.#staging !== undefined) return this.#staging;
    this.#staging = new Staging(this.#root, this.#rootPath, this.#onStaging);
    return this.#staging;
  }

  #create(place: Place, make: (path: string | Buffer) => void): void {
    const path = this.#next();
    try {
      make(path);
      renameSync(path, place.directory.child(place.component));
    } catch (error) {
      if (errnoOf(error) !== "EXDEV") throw error;
      viaNeighbour(place, make);
    } finally {
      // A rename onto another name of the same file does nothing and leaves the temporary name, too.
      this.#staging?.discard();
    }
  }

  #installFile(path: string | Buffer, place: Place): void {
    try {
      renameSync(path, place.directory.child(place.component));
      this.#staging?.release();
    } catch (error) {
      // Something else is mounted below the destination.
      if (errnoOf(error) === "EXDEV") viaNeighbour(place, (near) => copyWithTimes(path, near));
      this.#staging?.discard();
      if (errnoOf(error) !== "EXDEV") throw error;
    }
  }
}

/** A file in the making. */
export class FileWriter {
  readonly #fd: number;
  readonly #entry: CopyEntry;
  readonly #install: () => void;
  #position = 0;
  #endOfData = 0;
  #isOpen = true;

  constructor(fd: number, entry: CopyEntry, install: () => void) {
    this.#fd = fd;
    this.#entry = entry;
    this.#install = install;
  }

  write(bytes: Buffer): void {
    let written = 0;
    while (written < bytes.length) {
      written += writeSync(this.#fd, bytes, written, bytes.length - written, this.#position + written);
    }
    this.#position += bytes.length;
    this.#endOfData = this.#position;
  }

  /** Leaves the bytes out: what was never written takes no room and reads as zeros. */
  skip(bytes: number): void {
    this.#position += bytes;
  }

  /** Completes the file and puts it in its place. */
  finish(): void {
    const { mode, mtimeMs } = this.#entry;
    if (this.#endOfData < this.#position) ftruncateSync(this.#fd, this.#position);
    fchmodSync(this.#fd, mode & FILE_MODE_BITS);
    const time = toFileTime(mtimeMs);
    futimesSync(this.#fd, time, time);
    this.close();
    this.#install();
  }

  /** Gives the descriptor back; the temporary file is the placer's to remove. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }
}

/** Makes something beside its place and renames it: for places on another file system than the staging directory. */
function viaNeighbour(place: Place, make: (path: string | Buffer) => void): void {
  const random = Math.floor(Math.random() * 2 ** 48).toString(36);
  const near = place.directory.child(`.sbx-copy-${process.pid}-${random}`);
  try {
    make(near);
    renameSync(near, place.directory.child(place.component));
  } finally {
    // Gone if the rename worked.
    rmSync(near, { force: true });
  }
}

function copyWithTimes(from: string | Buffer, to: string | Buffer): void {
  const stats = lstatSync(from);
  copyFileSync(from, to, constants.COPYFILE_EXCL);
  utimesSync(to, stats.mtimeMs / 1000, stats.mtimeMs / 1000);
}
