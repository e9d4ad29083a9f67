/**
 * The program of the hook process: loads the user's module and rules, and answers the supervisor's calls on descriptor 3
 * (hook-messages.ts). Requests and responses come from a guest and from strangers; the module is the user's own.
 */
import { Socket } from "node:net";
import { FRAME, type FrameType } from "../../protocol/agent-frames.ts";
import { HookLink } from "./hook-link.ts";
import { Host } from "./host/host.ts";
import { describeError } from "./host/describe-error.ts";
import { holdLifeline } from "./host/lifeline.ts";

const LINK_DESCRIPTOR = 3;
const LIFELINE_DESCRIPTOR = 4;
/** For the last message to leave. */
const LAST_WORDS_MS = 300;

// Before any of the user's code: that may never let go of this thread.
await holdLifeline(LIFELINE_DESCRIPTOR);

const host = new Host();
const link = new HookLink(new Socket({ fd: LINK_DESCRIPTOR, readable: true, writable: true }), {
  message(type: FrameType, id: number, value: unknown) {
    if (type === FRAME.call) host.call(link, id, value);
  },
  cancel: (id) => host.find(id)?.cancel(),
  data: (id, part) => host.find(id)?.data(part),
  end: (id, failure) => host.find(id)?.end(failure),
  stop: (id) => host.find(id)?.stop(),
  credit: (id, bytes) => host.find(id)?.credit(bytes),
  closed: () => process.exit(0),
});

// Nobody waits for such a promise, so no request is concerned.
process.on("unhandledRejection", (reason) => console.error("unhandled rejection in the hook:", reason));
process.on("uncaughtException", (error) => {
  console.error(error);
  link.send(FRAME.event, 0, { fatal: describeError(error) });
  link.flush(() => process.exit(1));
  setTimeout(() => process.exit(1), LAST_WORDS_MS);
});
