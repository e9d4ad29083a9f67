/**
 * The open files of one connection. The published SDK never closes what it downloads from, so there may be thousands;
 * all of them are closed with the connection.
 */
import type { AgentLink } from "../../guest/link.ts";
import { callErrno } from "./call-error.ts";

const MAX_HANDLES = 16_384;

interface OpenFile {
  readonly handle: number;
  readonly path: string;
  /** The operation after which the next one may run: a position has one user at a time. */
  tail: Promise<unknown>;
}

export class FileHandles {
  readonly #link: AgentLink;
  readonly #files = new Map<number, OpenFile>();
  #lastId = 0;
  #closed = false;

  constructor(link: AgentLink) {
    this.#link = link;
  }

  /** @throws CallError when there are too many */
  assertRoom(): void {
    if (this.#files.size >= MAX_HANDLES) throw callErrno("EMFILE", `${this.#files.size} open files`);
  }

  /** Returns the id by which this client knows the file. */
  add(handle: number, path: string): number {
    const id = ++this.#lastId;
    this.#files.set(id, { handle, path, tail: Promise.resolve() });
    if (this.#closed) this.#release(id);
    return id;
  }

  /**
   * Runs an operation after those before it on the same file.
   *
   * @throws CallError for an id that this client has not got
   */
  async use<T>(id: number, operation: (handle: number, path: string) => Promise<T>): Promise<T> {
    const file = this.#get(id);
    const turn = file.tail.then(() => operation(file.handle, file.path));
    file.tail = turn.catch(() => undefined);
    return turn;
  }

  /** The handle at once: for operations that may wait for long. @throws CallError for an unknown id */
  peek(id: number): { handle: number; path: string } {
    return this.#get(id);
  }

  /** Forgets the file and closes it after what is under way. @throws CallError for an unknown id */
  async close(id: number): Promise<void> {
    const file = this.#get(id);
    this.#files.delete(id);
    await file.tail;
    await this.#link.call("file.close", { handle: file.handle });
  }

  closeAll(): void {
    this.#closed = true;
    for (const id of [...this.#files.keys()]) this.#release(id);
  }

  #release(id: number): void {
    // Nobody is left to be told; when the link is gone, so are the files.
    this.close(id).catch(() => undefined);
  }

  #get(id: number): OpenFile {
    const file = this.#files.get(id);
    if (file === undefined) throw callErrno("EBADF", `file handle ${id}`);
    return file;
  }
}
