/**
 * The agent link over a socket (the host's end of the virtio-serial port): handshake, calls, and the frames of all
 * streams. Everything read is hostile. A violation of docs/protocol-agent.md ends the link with SbxError
 * `agent_protocol`; what the guest can make the host hold is bounded by windows, by frame sizes and by the number of
 * calls and streams that this side opened.
 */
import type { Duplex } from "node:stream";
import {
  AGENT_PROTOCOL,
  agentViolation,
  encodeFrame,
  encodeJsonFrame,
  FRAME,
  FrameDecoder,
  frameName,
  type FrameType,
  MAX_FRAME_BYTES,
} from "../protocol/agent-frames.ts";
import { GREETING_CALL_ID } from "../protocol/agent-greeting.ts";
import type { AgentCalls, AgentEvent, AgentHello } from "../protocol/agent-calls.ts";
import { HelloScanner } from "../protocol/agent-hello.ts";
import { parseEvent, parseFailure, parseReply } from "../protocol/agent-replies.ts";
import { SbxError } from "../runtime/errors.ts";
import { streamsOfCall } from "./call-streams.ts";
import { FrameWriter } from "./frame-writer.ts";
import { LinkReadable } from "./guest-readable.ts";
import { LinkWritable } from "./guest-writable.ts";
import { AgentError, type AgentLink, type GuestReadable, type GuestWritable, type ReadableOptions } from "./link.ts";
import { WindowBudget } from "./window-budget.ts";

/** Calls without an answer, cancelled ones included. An agent that leaves more is not working. */
const MAX_OPEN_CALLS = 65_536;
const MAX_ID = 0xffff_ffff;
/** A guest answers in milliseconds; one that is busy with its memory or under a fork bomb takes longer, `ms`. */
const DETACH_DEADLINE_MS = 10_000;
/** One whose host's disk is full stands still until there is room; nobody waits for that, `ms`. */
const ATTACH_DEADLINE_MS = 20_000;

export interface AgentLinkOptions {
  /** Ends the handshake; the socket is destroyed. */
  signal?: AbortSignal;
  /** HELLO and the call `resume` were written to the socket before (src/protocol/agent-greeting.ts). */
  greeted?: boolean;
}

/**
 * Says HELLO, drops whatever comes before the guest's own, and returns the working link, which owns the socket.
 *
 * @throws SbxError `agent_protocol` if the guest never says HELLO, speaks another version or hangs up; the signal's
 *   reason if it fires. The socket is destroyed then.
 */
export async function openAgentLink(socket: Duplex, options: AgentLinkOptions = {}): Promise<AgentLink> {
  const scanner = new HelloScanner();
  const { signal, greeted = false } = options;
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      signal?.removeEventListener("abort", onAbort);
      socket.off("data", onData).off("end", onClose).off("close", onClose).off("error", onError);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.on("error", () => undefined); // it is being given up
      socket.destroy();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const onAbort = (): void => fail(signal?.reason);
    const onClose = (): void => fail(new SbxError("agent_protocol", "the guest agent hung up before its HELLO"));
    const onError = (cause: Error): void => {
      fail(new SbxError("agent_protocol", `the link to the guest agent failed: ${cause.message}`, { cause }));
    };
    const onData = (chunk: Buffer): void => {
      try {
        const found = scanner.push(chunk);
        if (found === undefined) return;
        settle();
        const link = new SocketAgentLink(socket, found.hello, greeted);
        resolve(link);
        link.start(found.rest);
      } catch (error) {
        fail(error);
      }
    };
    if (signal?.aborted === true) {
      fail(signal.reason);
      return;
    }
    signal?.addEventListener("abort", onAbort);
    socket.on("end", onClose).on("close", onClose).on("error", onError).on("data", onData);
    if (!greeted) socket.write(encodeJsonFrame(FRAME.hello, 0, { protocol: AGENT_PROTOCOL }));
  });
}

interface OpenCall {
  readonly method: keyof AgentCalls;
  readonly streams: readonly number[];
  /** Absent when the caller has gone; the guest still owes an answer. */
  settle: ((outcome: { ok: unknown } | { error: Error }) => void) | undefined;
}

class SocketAgentLink implements AgentLink {
  readonly hello: AgentHello;
  readonly greeting: Promise<AgentCalls["resume"]["result"]> | undefined;
  readonly closed: Promise<Error | undefined>;
  readonly #socket: Duplex;
  readonly #decoder = new FrameDecoder(this);
  readonly #budget = new WindowBudget();
  readonly #streamHost: { writer: FrameWriter; budget: WindowBudget; forget(streamId: number): void };
  readonly #calls = new Map<number, OpenCall>();
  readonly #streams = new Map<number, LinkReadable | LinkWritable>();
  readonly #listeners = new Set<(event: AgentEvent) => void>();
  #lastCallId = 0;
  #lastStreamId = 0;
  #over: SbxError | undefined;
  #reportClosed: (reason: Error | undefined) => void = () => undefined;

  constructor(socket: Duplex, hello: AgentHello, greeted: boolean) {
    this.#socket = socket;
    this.hello = hello;
    this.#streamHost = {
      writer: new FrameWriter(socket),
      budget: this.#budget,
      forget: (streamId) => this.#streams.delete(streamId),
    };
    this.closed = new Promise((resolve) => (this.#reportClosed = resolve));
    this.greeting = greeted ? this.#expectGreeting() : undefined;
  }

  #expectGreeting(): Promise<AgentCalls["resume"]["result"]> {
    this.#lastCallId = GREETING_CALL_ID;
    const greeting = new Promise<AgentCalls["resume"]["result"]>((resolve, reject) => {
      this.#calls.set(GREETING_CALL_ID, {
        method: "resume",
        streams: [],
        settle: (outcome) => {
          if ("error" in outcome) reject(outcome.error);
          else resolve(outcome.ok as AgentCalls["resume"]["result"]);
        },
      });
    });
    greeting.catch(() => undefined); // nobody has to ask for it
    return greeting;
  }

  /** Begins to read; `rest` is what came behind the HELLO. */
  start(rest: Buffer): void {
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", (cause) => {
      this.#end(new SbxError("agent_protocol", `the link to the guest agent failed: ${cause.message}`, { cause }));
    });
    this.#socket.on("close", () => this.#end(new SbxError("agent_protocol", "the guest agent hung up")));
    this.#socket.on("end", () => this.#end(new SbxError("agent_protocol", "the guest agent hung up")));
    if (rest.length > 0) this.#receive(rest);
  }

  async call<M extends keyof AgentCalls>(
    method: M,
    params: AgentCalls[M]["params"],
    options: { signal?: AbortSignal } = {},
  ): Promise<AgentCalls[M]["result"]> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#over !== undefined) throw this.#over;
    const payload = Buffer.from(JSON.stringify({ method, params }));
    if (payload.length > MAX_FRAME_BYTES) {
      throw new AgentError("E2BIG", `the parameters of ${method} are ${payload.length} bytes`);
    }
    const streams = streamsOfCall(method, params);
    const id = this.#openCallId();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#streamHost.writer.send(encodeFrame(FRAME.cancel, id));
        call.settle = undefined;
        reject(signal?.reason as Error);
      };
      const call: OpenCall = {
        method,
        streams,
        settle: (outcome) => {
          signal?.removeEventListener("abort", onAbort);
          if ("error" in outcome) reject(outcome.error);
          else resolve(outcome.ok as AgentCalls[M]["result"]);
        },
      };
      this.#calls.set(id, call);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#streamHost.writer.send(encodeFrame(FRAME.call, id, payload));
      for (const streamId of streams) this.#announce(streamId);
    });
  }

  async detach(): Promise<void> {
    const answer = this.call("detach", {}, { signal: AbortSignal.timeout(DETACH_DEADLINE_MS) });
    this.#streamHost.writer.hold();
    try {
      await answer;
    } catch (error) {
      await this.attach().catch(() => undefined); // it was not detached, or the link is gone
      if (!(error instanceof DOMException)) throw error;
      const seconds = DETACH_DEADLINE_MS / 1000;
      throw new SbxError("timeout", `the guest did not get ready to be copied within ${seconds} s`, {
        hint: "it may be short of memory or of time: try again",
      });
    }
  }

  async attach(): Promise<void> {
    this.#streamHost.writer.release();
    try {
      await this.call("attach", {}, { signal: AbortSignal.timeout(ATTACH_DEADLINE_MS) });
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      const seconds = ATTACH_DEADLINE_MS / 1000;
      // It does what it was asked when it comes to it: nothing is to be done here.
      throw new SbxError("timeout", `the guest does not say within ${seconds} s that it goes on`);
    }
  }

  openReadable(options: ReadableOptions = {}): GuestReadable {
    return this.#openStream((id) => new LinkReadable(id, this.#streamHost, options));
  }

  openWritable(): GuestWritable {
    return this.#openStream((id) => new LinkWritable(id, this.#streamHost));
  }

  onEvent(listener: (event: AgentEvent) => void): void {
    this.#listeners.add(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(undefined);
    await this.closed;
  }

  /** FrameSink. */
  data(id: number, part: Buffer): void {
    const stream = this.#findStream(id, FRAME.data);
    if (stream === undefined) return;
    if (!(stream instanceof LinkReadable)) throw agentViolation(`DATA on stream ${id}, which the host produces`);
    stream.receive(part);
  }

  /** FrameSink. */
  frame(type: FrameType, id: number, payload: Buffer): void {
    switch (type) {
      case FRAME.reply:
        this.#receiveReply(id, payload);
        break;
      case FRAME.end:
      case FRAME.fail:
        this.#receiveEnd(type, id, payload);
        break;
      case FRAME.stop:
      case FRAME.credit:
        this.#receiveFlow(type, id, payload);
        break;
      case FRAME.event:
        this.#receiveEvent(payload);
        break;
      case FRAME.hello: // the answer to a HELLO of a former link, late
        break;
      case FRAME.call:
      case FRAME.cancel:
      case FRAME.data:
        throw agentViolation(`a ${frameName(type)} frame from the guest`);
    }
  }

  #receive(chunk: Buffer): void {
    if (this.#over !== undefined) return;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.#end(error instanceof SbxError ? error : agentViolation("a frame that cannot be handled", error));
    }
  }

  #receiveReply(id: number, payload: Buffer): void {
    const call = this.#calls.get(id);
    if (call === undefined) throw agentViolation(`a REPLY to call ${id}, which is not open`);
    const outcome = read(`the answer to ${call.method}`, () => parseReply(call.method, payload));
    this.#calls.delete(id);
    if ("ok" in outcome) {
      call.settle?.(outcome);
      return;
    }
    const error = new AgentError(outcome.error.code, outcome.error.message, outcome.error.path);
    // A call that failed leaves no stream behind, whether or not the guest got as far as using it.
    for (const streamId of call.streams) this.#streams.get(streamId)?.destroy(error);
    call.settle?.({ error });
  }

  #receiveEnd(type: typeof FRAME.end | typeof FRAME.fail, id: number, payload: Buffer): void {
    const stream = this.#findStream(id, type);
    if (stream === undefined) return;
    if (!(stream instanceof LinkReadable)) throw agentViolation(`${frameName(type)} on stream ${id} of the host's`);
    if (type === FRAME.end) stream.finish();
    else stream.fail(read("a FAIL frame", () => parseFailure(payload)));
  }

  #receiveFlow(type: typeof FRAME.stop | typeof FRAME.credit, id: number, payload: Buffer): void {
    const stream = this.#findStream(id, type);
    if (stream === undefined) return;
    if (!(stream instanceof LinkWritable)) throw agentViolation(`${frameName(type)} on stream ${id} of the guest's`);
    if (type === FRAME.stop) stream.stop();
    else stream.credit(payload.readUInt32LE(0));
  }

  #receiveEvent(payload: Buffer): void {
    const event = read("an EVENT", () => parseEvent(payload));
    if (event === undefined) return;
    for (const listener of this.#listeners) listener(event);
  }

  /** Undefined for a stream that is over. @throws SbxError for one that never was */
  #findStream(id: number, type: FrameType): LinkReadable | LinkWritable | undefined {
    if (id === 0 || id > this.#lastStreamId) throw agentViolation(`${frameName(type)} on stream ${id}, which never was`);
    return this.#streams.get(id);
  }

  #openStream<T extends LinkReadable | LinkWritable>(make: (id: number) => T): T {
    if (this.#over !== undefined) throw this.#over;
    if (this.#lastStreamId === MAX_ID) throw new SbxError("agent_protocol", "the agent link has run out of stream ids");
    const stream = make(++this.#lastStreamId);
    this.#streams.set(stream.streamId, stream);
    return stream;
  }

  #openCallId(): number {
    if (this.#calls.size >= MAX_OPEN_CALLS) {
      this.#end(agentViolation(`${this.#calls.size} calls without an answer`));
    }
    if (this.#over !== undefined) throw this.#over;
    if (this.#lastCallId === MAX_ID) throw new SbxError("agent_protocol", "the agent link has run out of call ids");
    return ++this.#lastCallId;
  }

  #announce(streamId: number): void {
    const stream = this.#streams.get(streamId);
    if (stream instanceof LinkWritable) stream.announce();
    else if (stream !== undefined) stream.announced = true;
  }

  /** Ends everything, once. Undefined if this side wanted it. */
  #end(reason: SbxError | undefined): void {
    if (this.#over !== undefined) return;
    this.#over = reason ?? new SbxError("connection_closed", "the link to the guest agent has been closed");
    this.#decoder.stop();
    this.#streamHost.writer.close();
    this.#socket.destroy();
    for (const call of this.#calls.values()) call.settle?.({ error: this.#over });
    this.#calls.clear();
    for (const stream of [...this.#streams.values()]) stream.destroy(this.#over);
    this.#streams.clear();
    this.#listeners.clear();
    this.#reportClosed(reason);
  }
}

/** Runs a parser on what the guest sent; what it throws becomes a violation. */
function read<T>(what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ").slice(0, 500) : String(cause);
    throw agentViolation(`${what} is not valid: ${detail}`, cause);
  }
}
