/** What the methods of the RPC see of the connection that called them. */
import type { Notification } from "../../protocol/rpc-messages.ts";
import type { RpcMethodName, RpcParams, RpcResult } from "../../protocol/rpc-methods.ts";
import type { Base64Content } from "./base64-content.ts";
import type { Dialect } from "./dialect.ts";
import type { FileHandles } from "./file-handles.ts";
import type { Gate } from "./gate.ts";
import type { GuestState } from "./guest-state.ts";
import type { IncomingStreams } from "./incoming-streams.ts";
import type { OutgoingStream } from "./outgoing-stream.ts";
import type { OutgoingStreams } from "./outgoing-streams.ts";
import type { GuestProcess } from "./process-table.ts";

export interface Session {
  readonly state: GuestState;
  readonly extensions: boolean;
  readonly dialect: Dialect;
  readonly outgoing: OutgoingStreams;
  readonly incoming: IncomingStreams;
  readonly files: FileHandles;
  /** Lets few calls at a time hold a whole file in memory. */
  readonly wholeFiles: Gate;
  /** Fires when the connection is gone. */
  readonly signal: AbortSignal;
  notify(notification: Notification): void;
  /** Output of a process that goes to this client: its end comes before the answer to `processWait`. */
  addOutput(process: GuestProcess, stream: OutgoingStream): void;
  /** Settles when all output of the process has been sent to this client. */
  outputDone(process: GuestProcess): Promise<void>;
  /** Copies under way, by the id of their stream. */
  readonly copies: Map<number, Promise<RpcResult<"sbx.copyWait">>>;
  /** A process whose terminal is this connection: it hangs up with it. */
  readonly terminals: Set<GuestProcess>;
}

/** One call under way. */
export interface Call {
  readonly session: Session;
  /** Fires when the connection is gone, or on the `abort` of this call's `abortId`. */
  readonly signal: AbortSignal;
  /** Runs soon after the reply has been handed to the socket; not for a call that failed. */
  afterReply(action: () => void): void;
  /** Runs when the reply has left this process, or the call has failed: memory it took is free again. */
  afterFlush(action: () => void): void;
  /** Keeps the `abortId` alive beyond the reply. */
  holdAbort(until: Promise<unknown>): void;
}

/** What a handler returns; base64 of a whole file in pieces. */
export type HandlerResult<M extends RpcMethodName> = M extends "readFile" ? Base64Content : RpcResult<M>;

export type Handler<M extends RpcMethodName> = (
  call: Call,
  params: RpcParams<M>,
) => HandlerResult<M> | Promise<HandlerResult<M>>;

export type Handlers<M extends RpcMethodName = RpcMethodName> = { readonly [K in M]: Handler<K> };
