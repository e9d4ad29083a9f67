/**
 * The streams that bodies go through. Input is hostile: each holds one chunk and what may be the beginning of a match,
 * and passes on nothing that has not been searched.
 */
import { Transform, type TransformCallback } from "node:stream";
import type { Coding } from "./content-codings.ts";
import { DecodedChunks } from "./decoded-chunks.ts";

/** What is done with the bytes of a body, decoded. */
export interface BodyWork {
  push(chunk: Buffer): Buffer[];
  end(): Buffer[];
  /** Bytes that wait for what follows them. */
  readonly heldBytes: number;
}

/** Bytes of a coded body that wait until what they say is known to be clean, and of all bodies of a sandbox together. */
const MAX_WAITING_BYTES = 1024 * 1024;
const MAX_WAITING_IN_ALL = 8 * MAX_WAITING_BYTES;

/** What the bodies of a sandbox that wait share. */
export class WaitingBytes {
  #bytes = 0;

  /** @throws Error for more than there is room for */
  add(bytes: number): void {
    if (this.#bytes + bytes > MAX_WAITING_IN_ALL)
      throw new Error("coded bodies have too much in them that says nothing");
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Works on a body that is in no coding. */
export class PlainBody extends Transform {
  readonly #work: BodyWork;

  constructor(work: BodyWork) {
    super();
    this.#work = work;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    passOn(this, () => this.#work.push(chunk), done);
  }

  override _flush(done: TransformCallback): void {
    passOn(this, () => this.#work.end(), done);
  }
}

/** Decodes a body and works on what it says; what comes out is in no coding. */
export class DecodedBody extends Transform {
  readonly #codings: readonly Coding[];
  readonly #work: BodyWork;
  #decoded: DecodedChunks | null = null;

  /** @param codings in the order in which they were applied; not empty */
  constructor(codings: readonly Coding[], work: BodyWork) {
    super();
    this.#codings = codings;
    this.#work = work;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (chunk.length === 0) {
      done();
      return;
    }
    this.#decoded ??= this.#open(chunk[0] ?? 0);
    this.#decoded.write(chunk, done);
  }

  override _flush(done: TransformCallback): void {
    const finish: TransformCallback = (error) => {
      if (error) done(error);
      else passOn(this, () => this.#work.end(), done);
    };
    if (this.#decoded === null) finish();
    else this.#decoded.end(finish);
  }

  override _read(size: number): void {
    this.#decoded?.resume();
    super._read(size);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#decoded?.destroy();
    done(error);
  }

  #open(first: number): DecodedChunks {
    return new DecodedChunks(this.#codings, first, (chunk) => {
      let more = true;
      for (const bytes of this.#work.push(chunk)) more = this.push(bytes);
      return more;
    });
  }
}

/** Passes a coded body on as it is, each chunk when what it says is known to be clean. */
export class VettedBody extends Transform {
  readonly #coding: Coding;
  readonly #decodedWork: BodyWork;
  readonly #codedWork: BodyWork;
  readonly #allWaiting: WaitingBytes;
  #decoded: DecodedChunks | null = null;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  /** @param codedWork sees the bytes as they are sent: what follows the end of a coding is not decoded */
  constructor(coding: Coding, decodedWork: BodyWork, codedWork: BodyWork, allWaiting: WaitingBytes) {
    super();
    this.#allWaiting = allWaiting;
    this.#coding = coding;
    this.#decodedWork = decodedWork;
    this.#codedWork = codedWork;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (chunk.length === 0) {
      done();
      return;
    }
    try {
      for (const bytes of this.#codedWork.push(chunk)) this.#wait(bytes);
    } catch (error) {
      done(asError(error));
      return;
    }
    this.#decoded ??= new DecodedChunks([this.#coding], chunk[0] ?? 0, (decoded) => {
      this.#decodedWork.push(decoded);
      return true;
    });
    this.#decoded.write(chunk, (error) => {
      if (error) done(error);
      else if (this.#waitingBytes > MAX_WAITING_BYTES)
        done(new Error("a coded body has too much in it that says nothing"));
      else {
        if (this.#decodedWork.heldBytes === 0) this.#release();
        done();
      }
    });
  }

  override _flush(done: TransformCallback): void {
    const finish: TransformCallback = (error) => {
      if (error) {
        done(error);
        return;
      }
      passOn(
        this,
        () => {
          this.#decodedWork.end();
          for (const bytes of this.#codedWork.end()) this.#wait(bytes);
          this.#release();
          return [];
        },
        done,
      );
    };
    if (this.#decoded === null) finish();
    else this.#decoded.end(finish);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#decoded?.destroy();
    this.#forget();
    done(error);
  }

  #wait(bytes: Buffer): void {
    this.#allWaiting.add(bytes.length);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #release(): void {
    for (const bytes of this.#waiting) this.push(bytes);
    this.#forget();
  }

  #forget(): void {
    this.#allWaiting.remove(this.#waitingBytes);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}

/** For what must not be passed on unread: fails at the first byte, or at the end. */
export class UnreadableBody extends Transform {
  readonly #message: string;

  constructor(message: string) {
    super();
    this.#message = message;
  }

  override _transform(_chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    done(new Error(this.#message));
  }

  override _flush(done: TransformCallback): void {
    done(new Error(this.#message));
  }
}

function passOn(stream: Transform, work: () => Buffer[], done: TransformCallback): void {
  try {
    for (const bytes of work()) stream.push(bytes);
  } catch (error) {
    done(asError(error));
    return;
  }
  done();
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
