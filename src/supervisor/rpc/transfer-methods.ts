/**
 * Whole files in one call: `readFile`, `readTextFile`, `writeFile`, `writeTextFile`. Contents may also come as a
 * stream of the client's; they go out in one message, so what may be read is bounded by what the SDK takes in one.
 */
import { finished, pipeline } from "node:stream/promises";
import { addAbortSignal, Readable } from "node:stream";
import { decodeBase64 } from "../../protocol/rpc-base64.ts";
import { MAX_SDK_MESSAGE_BYTES } from "../../protocol/rpc-limits.ts";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { Base64Content } from "./base64-content.ts";
import { CallError, callTypeError, describing, onPath } from "./call-error.ts";
import { modeBits } from "./file-methods.ts";
import type { Call, Handlers } from "./session.ts";

type Methods = "readFile" | "readTextFile" | "writeFile" | "writeTextFile";

/** Room for the envelope of a reply. */
const ENVELOPE_BYTES = 1024;
/** Longest content that fits a message, as base64. */
const MAX_READ_BYTES = Math.floor(((MAX_SDK_MESSAGE_BYTES - ENVELOPE_BYTES) / 4) * 3);

export const TRANSFER_HANDLERS: Handlers<Methods> = {
  readFile: async (call, { path }) => {
    const content = new Base64Content();
    await readWhole(call, path, (chunk) => content.push(chunk));
    return content;
  },
  readTextFile: async (call, { path }) => {
    const chunks: Buffer[] = [];
    await readWhole(call, path, (chunk) => chunks.push(chunk));
    const text = Buffer.concat(chunks).toString("utf8");
    if (jsonBytes(text) > MAX_SDK_MESSAGE_BYTES - ENVELOPE_BYTES) throw tooLarge(path);
    return text;
  },
  writeFile: async (call, params) => writeWhole(call, params, (content) => decodeContent(content, params.path)),
  writeTextFile: async (call, params) => writeWhole(call, params, (content) => Buffer.from(content, "utf8")),
};

/** @param take is given the content as it comes */
async function readWhole(call: Call, path: string, take: (chunk: Buffer) => void): Promise<void> {
  const { session, signal } = call;
  const { link, user } = session.state;
  const absolute = session.state.resolvePath(path);
  call.afterFlush(await session.wholeFiles.enter());
  signal.throwIfAborted();
  // A guest may answer the call and yet never end the stream.
  const readable = addAbortSignal(signal, link.openReadable());
  const reading = link.call("fs.readFile", { path: absolute, user, stream: readable.streamId }, { signal });
  try {
    await describing(onPath("readfile", path), Promise.all([reading, collect(readable, path, take)]));
  } finally {
    readable.destroy();
  }
}

async function collect(readable: Readable, path: string, take: (chunk: Buffer) => void): Promise<void> {
  let bytes = 0;
  for await (const chunk of readable as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_READ_BYTES) throw tooLarge(path);
    take(chunk);
  }
}

function tooLarge(path: string): CallError {
  const message = `'${path}' is too large to be read at once (at most ${MAX_READ_BYTES} bytes): open it and read parts`;
  return new CallError({ constructorName: "RangeError", message, code: "EFBIG" });
}

/** What a text takes in a message: an upper bound where it is cheap, exact where that decides. */
function jsonBytes(text: string): number {
  const most = text.length * 6;
  return most <= MAX_SDK_MESSAGE_BYTES - ENVELOPE_BYTES ? most : Buffer.byteLength(JSON.stringify(text));
}

async function writeWhole(
  call: Call,
  params: RpcParams<"writeFile">,
  decode: (content: string) => Buffer,
): Promise<null> {
  const { session, signal } = call;
  const { link, user } = session.state;
  const { path, options, content, contentStreamId } = params;
  const source =
    contentStreamId == null ? contentSource(decode(content ?? "")) : session.incoming.claim(contentStreamId);
  try {
    const absolute = session.state.resolvePath(path);
    signal.throwIfAborted();
    const target = link.openWritable();
    const writing = link.call(
      "fs.writeFile",
      {
        path: absolute,
        user,
        stream: target.streamId,
        append: options?.append ?? false,
        create: options?.create ?? true,
        createNew: options?.createNew ?? false,
        mode: modeBits(options?.mode),
      },
      { signal },
    );
    const sending = pipeline(source, target, { signal });
    // The answer to the call says why it failed; the broken pipe that follows from it says nothing.
    sending.catch(() => undefined);
    writing.catch(() => target.destroy());
    await describing(
      onPath("writefile", path),
      writing.then(() => sending),
    );
    return null;
  } catch (error) {
    source.destroy(error instanceof Error ? error : new Error(String(error)));
    throw await sourceFailure(source, error);
  }
}

/** If the client's own stream failed, that is why the call did; the guest only saw an end that was none. */
async function sourceFailure(source: Readable, error: unknown): Promise<unknown> {
  await finished(source).catch(() => undefined);
  return source.errored instanceof CallError ? source.errored : error;
}

function contentSource(content: Buffer): Readable {
  return Readable.from(content.length === 0 ? [] : [content], { objectMode: false });
}

function decodeContent(content: string, path: string): Buffer {
  try {
    return decodeBase64(content);
  } catch {
    throw callTypeError(`the content for '${path}' is not base64`);
  }
}
