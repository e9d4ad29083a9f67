/** The calls that sbx adds (docs/protocol-supervisor.md); the dispatcher refuses them to plain clients. */
import { pipeline } from "node:stream/promises";
import type { Duplex } from "node:stream";
import { dialGuest, type DialOptions } from "../../guest/guest-socket.ts";
import type { AgentCopyReport } from "../../protocol/agent-calls.ts";
import type { RpcParams } from "../../protocol/rpc-methods.ts";
import { callTypeError, describing, onPath } from "./call-error.ts";
import { freeFrame } from "./free-frame.ts";
import { fromGuest } from "./outgoing-streams.ts";
import type { GuestState } from "./guest-state.ts";
import type { Handlers } from "./session.ts";

type Methods = "sbx.connect" | "sbx.copySend" | "sbx.copyWait" | "sbx.copyReceive" | "sbx.info" | "sbx.stats";

/** Copies of one connection whose report has not been asked for. */
const MAX_COPIES = 256;

export const SBX_HANDLERS: Handlers<Methods> = {
  "sbx.connect": async (call, params) => {
    const { session, signal } = call;
    const input = session.incoming.claim(params.stdinStreamId);
    try {
      session.outgoing.assertRoom();
      const { dial, shown } = destinationOf(params, session.state);
      const socket = await describing(`connect to ${shown}`, dial({ signal }));
      // Either direction may end by itself; a failure of one ends both.
      pipeline(input, socket, { end: true }).catch(() => undefined);
      const stream = session.outgoing.open({
        chunks: { [Symbol.asyncIterator]: () => socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer> },
        whenAbandoned: "destroy",
        destroy: () => socket.destroy(),
      });
      call.afterReply(() => stream.start());
      return { streamId: stream.streamId };
    } catch (error) {
      input.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  },
  "sbx.copySend": async (call, { paths, globs, user }) => {
    const { session } = call;
    const { state } = session;
    session.outgoing.assertRoom();
    if (session.copies.size >= MAX_COPIES) throw callTypeError("too many copies whose report was never asked for");
    const absolute = paths.map((path) => state.resolvePath(path));
    const readable = state.link.openReadable();
    const params = { paths: absolute, user: user ?? state.user, stream: readable.streamId, globs };
    const sending = state.link.call("copy.send", params, { signal: session.signal });
    const report = describing(onPath("copy from", paths.join("', '").slice(0, 1024)), sending);
    report.catch(() => readable.destroy());
    const stream = session.outgoing.open(fromGuest(readable, "destroy"));
    session.copies.set(stream.streamId, report);
    call.afterReply(() => stream.start());
    return { streamId: stream.streamId };
  },
  "sbx.copyWait": async ({ session }, { streamId }) => {
    const report = session.copies.get(streamId);
    if (report === undefined) throw callTypeError(`no copy has the stream ${streamId}`);
    session.copies.delete(streamId);
    return report;
  },
  "sbx.copyReceive": async ({ session, signal }, { destination, directory, user, streamId }) => {
    const { state } = session;
    const source = session.incoming.claim(streamId);
    const target = state.link.openWritable();
    try {
      const absolute = state.resolvePath(destination);
      const params = { destination: absolute, user: user ?? state.user, stream: target.streamId, directory };
      const receiving = state.link.call("copy.receive", params, { signal });
      const sending = pipeline(source, target, { signal });
      sending.catch(() => undefined); // the report, or its error, says more
      target.onWritten = freeFrame;
      return await describing<AgentCopyReport>(onPath("copy to", destination), receiving);
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      source.destroy(reason);
      target.destroy(reason);
      throw error;
    }
  },
  "sbx.info": ({ session }) => session.state.info(),
  "sbx.stats": async ({ session, signal }) => {
    const { memoryTotal, memoryAvailable, processes, oomKills } = await session.state.link.call(
      "stats",
      {},
      { signal },
    );
    return { memoryTotal, memoryAvailable, processes, oomKills };
  },
};

interface Destination {
  dial: (options: DialOptions) => Promise<Duplex>;
  shown: string;
}

/**
 * Where a call wants to be connected to, and how that is named in an error.
 *
 * @throws CallError unless it is either a port or a path
 */
function destinationOf(params: RpcParams<"sbx.connect">, state: GuestState): Destination {
  const { host, port, path, user } = params;
  if (path == null && port != null && user == null) {
    if (host == null) return { dial: async (options) => state.loopback.dial(port, options), shown: `port ${port}` };
    return { dial: async (options) => dialGuest(state.link, { host, port }, options), shown: `${host}:${port}` };
  }
  if (path != null && port == null && host == null) {
    const absolute = state.resolvePath(path);
    const address = { path: absolute, user: user ?? state.user };
    return { dial: async (options) => dialGuest(state.link, address, options), shown: `'${absolute}'` };
  }
  throw callTypeError("sbx.connect takes a port and perhaps a host, or a path and perhaps a user");
}
