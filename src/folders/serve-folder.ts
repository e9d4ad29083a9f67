/** Connects a folder's server to the streams that its guest's kernel is reached by. */
import type { Readable, Writable } from "node:stream";
import type { FolderServer } from "./folder-server.ts";
import { BrokenStream, RequestDecoder } from "./request.ts";

/** Requests in a row after which the process's other business gets its turn. */
const TURN_REQUESTS = 32;
/** Answers after which the number of nodes is looked at. */
const NOTICE_REQUESTS = 256;

/**
 * Serves until the requests end. One request is answered at a time, and none is taken before there is room for its
 * answer, so memory is bounded by one of each.
 *
 * @throws Error when the stream breaks, or holds what is no request
 */
export async function serveFolder(server: FolderServer, requests: Readable, answers: Writable): Promise<void> {
  const decoder = new RequestDecoder();
  let count = 0;
  try {
    for await (const chunk of requests as AsyncIterable<Buffer>) {
      for (const request of decoder.push(chunk)) {
        const answer = await server.handle(request);
        if (answer !== undefined) await send(answers, answer);
        if (++count % NOTICE_REQUESTS === 0) for (const notice of server.takeNotices()) await send(answers, notice);
        if (count % TURN_REQUESTS === 0) await new Promise(setImmediate);
      }
    }
    answers.end();
  } catch (error) {
    answers.destroy(error instanceof Error ? error : new BrokenStream(String(error)));
    throw error;
  } finally {
    requests.destroy();
  }
}

async function send(answers: Writable, bytes: Buffer): Promise<void> {
  if (answers.destroyed) throw new BrokenStream("the guest takes no more answers");
  if (answers.write(bytes)) return;
  await new Promise<void>((resolve, reject) => {
    const settle = (error?: Error): void => {
      answers.off("drain", onDrain).off("close", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onDrain = (): void => settle();
    const onClose = (): void => settle(new BrokenStream("the guest takes no more answers"));
    answers.once("drain", onDrain).once("close", onClose);
  });
}
