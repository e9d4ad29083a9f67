/** Connects a folder's server to the streams that its guest's kernel is reached by. */
import type { Readable, Writable } from "node:stream";
import type { FolderServer } from "./folder-server.ts";
import { BrokenStream, RequestDecoder } from "./request.ts";

/** How long requests are answered in a row until the process's other business gets its turn, `ms`. */
const TURN_MS = 5;
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
  let turnEnds = performance.now() + TURN_MS;
  try {
    for await (const chunk of requests as AsyncIterable<Buffer>) {
      for (const request of decoder.push(chunk)) {
        const answer = await server.handle(request);
        if (answer !== undefined) await send(answers, answer);
        if (++count % NOTICE_REQUESTS === 0) for (const notice of server.takeNotices()) await send(answers, notice);
        if (performance.now() < turnEnds) continue;
        await new Promise(setImmediate);
        turnEnds = performance.now() + TURN_MS;
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
