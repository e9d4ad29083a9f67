/**
 * One connection to the gateway. The head of every request is judged before it goes on; bodies, answers and whatever an
 * upgrade leads to are carried as they are. What the client says is hostile until it has named a URL, and bounded after.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { AnswerReader } from "./answer-reader.ts";
import { answerWaiting, explain, refuse, refuseOrigin, type Trouble } from "./answers.ts";
import { isForeignOrigin } from "./origin.ts";
import { HeadError, type RequestHead } from "./request-head.ts";
import { type Reading, RequestReader } from "./request-reader.ts";
import { ServerAnswer } from "./server-answer.ts";
import { DialError, type GatewayLimits, type Seat, type Target } from "./target.ts";
import { waitForServer } from "./wait-for-server.ts";

/** The gateway, as a connection sees it. */
export interface ConnectionHost {
  readonly limits: GatewayLimits;
  /** What is meant by a Host field; the port does not matter. */
  find(host: string): Target | undefined;
  /** The connection has named its target. False where there are too many. */
  admit(connection: ClientConnection): boolean;
  forget(connection: ClientConnection): void;
}

/** Who connects. */
export interface Client {
  readonly socket: Socket;
  /** Ends the connection so that it cannot pass for an orderly end. */
  reset(): void;
  /** Whether a Host field may stand in its requests at all. */
  isFor?: ((host: string) => boolean) | undefined;
  /** Heads as they go on; as they came if absent. */
  rewrite?: HeadRewriter | undefined;
}

/** With no server behind it any more, a client that says nothing may stay so long, `ms`. */
const REST_MS = 60_000;

/** @param host that the connection is for, as it stands in the field, in lower case */
export type HeadRewriter = (head: Buffer, host: string) => Buffer;

/** The request is the gateway's to answer. */
class OwnAnswer extends Error {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    super("answered by the gateway");
    this.bytes = bytes;
  }
}

export class ClientConnection {
  readonly #socket: Socket;
  readonly #host: ConnectionHost;
  readonly #client: Client;
  readonly #reader: RequestReader;
  readonly #gone = new AbortController();
  #target: Target | undefined;
  /** The Host that the connection is for. */
  #hostField = "";
  #head: RequestHead | undefined;
  #server: Duplex | undefined;
  #answer = new ServerAnswer();
  /** Where there are several servers: when one may give way to another. */
  #seat: Seat | undefined;
  readonly #answers = new AnswerReader();
  /** Nothing is under way; the server may go, and the next request finds another one. */
  #isResting = false;
  /** What the client sent behind a request for an upgrade. */
  #held: Buffer | undefined;
  #headTimer: NodeJS.Timeout | undefined;
  #lastTimer: NodeJS.Timeout | undefined;
  /** Nothing that the client sends from now on matters. */
  #deaf = false;
  /** The client has shut down its sending half. */
  #hasEnded = false;

  constructor(client: Client, host: ConnectionHost) {
    const { socket, rewrite } = client;
    this.#client = client;
    this.#socket = socket;
    this.#host = host;
    this.#reader = new RequestReader(
      (head) => this.#judge(head),
      rewrite && ((head) => rewrite(head, this.#hostField)),
    );
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("end", () => this.#clientEnded());
    socket.on("drain", () => this.#server?.resume());
    socket.on("error", () => undefined); // "close" follows
    socket.on("close", () => this.#closed());
    this.#startHeadTimer();
  }

  get target(): Target | undefined {
    return this.#target;
  }

  /** Ends it at once; an orderly end could pass for the end of an answer. */
  destroy(): void {
    if (this.#server === undefined || this.#isResting) this.#socket.destroy();
    else this.#client.reset();
  }

  /**
   * Takes no more requests, and lets the answers that are under way come to their end: what says nothing for a while has.
   * The server is not told, as many then break their answers off.
   */
  finish(silentMs: number): void {
    if (this.#server === undefined || this.#answer.isUpgraded) {
      this.destroy();
      return;
    }
    this.#deaf = true;
    this.#endWithin(silentMs);
  }

  #receive(chunk: Buffer): void {
    if (this.#deaf) return;
    const reading = this.#reader.read(chunk);
    if (this.#isResting) this.#next(reading);
    else if (this.#server === undefined) this.#begin(reading);
    else this.#goOn(this.#server, reading);
  }

  /** @throws what ends the passing on of requests */
  #judge(head: RequestHead): void {
    if (this.#target === undefined) {
      const { isFor } = this.#client;
      if (isFor !== undefined && !isFor(head.host ?? "")) throw new OwnAnswer(refuse(421));
      const target = head.host === undefined ? undefined : this.#host.find(head.host);
      // Nothing that would tell a URL that was from one that never was.
      if (target === undefined) throw new OwnAnswer(refuse(404));
      this.#target = target;
      this.#hostField = head.host ?? "";
      if (head.waits) throw new OwnAnswer(Buffer.alloc(0));
    } else if (head.host !== this.#hostField || head.waits) {
      // Somebody in between shares one connection among several users of it.
      throw new OwnAnswer(refuse(421));
    }
    const isOpen = this.#target.takesForeignPages === true;
    if (head.upgrades && !isOpen && isForeignOrigin(head.origin, this.#hostField)) throw new OwnAnswer(refuseOrigin());
    this.#head = head;
    if (this.#target.seatOf !== undefined) this.#answers.expect(head.method);
  }

  /** Before there is a server: the first request. */
  #begin({ passed, upgrade, refused }: Reading): void {
    if (passed === undefined && refused === undefined) return; // a part of a head
    this.#stopHeadTimer();
    if (this.#target !== undefined && !this.#host.admit(this)) {
      this.#explain("busy");
    } else if (passed !== undefined) {
      this.#socket.pause();
      if (upgrade !== undefined) this.#expectUpgrade(upgrade.held);
      void this.#connect(passed, refused !== undefined);
    } else if (this.#target !== undefined && refused instanceof OwnAnswer && refused.bytes.length === 0) {
      void this.#answerWaiting(this.#target);
    } else {
      this.#close(
        refused instanceof OwnAnswer ? refused.bytes : refuse(refused instanceof HeadError ? refused.status : 400),
      );
    }
  }

  #goOn(server: Duplex, { passed, upgrade, refused }: Reading): void {
    if (upgrade !== undefined) {
      this.#expectUpgrade(upgrade.held);
      this.#socket.pause();
    }
    if (passed !== undefined && server.writable && !server.write(passed)) this.#socket.pause();
    if (refused !== undefined) this.#refuseLater(server);
    if (!this.#reader.isWithinHead) this.#stopHeadTimer();
    else if (passed !== undefined || this.#headTimer === undefined) this.#startHeadTimer();
    this.#restIfDone();
  }

  /** With nothing under way: another request, to the same server if that is still the one to ask. */
  #next(reading: Reading): void {
    const { passed, upgrade, refused } = reading;
    const server = this.#server;
    if (passed === undefined) {
      if (refused !== undefined) this.#close(refused instanceof OwnAnswer ? refused.bytes : refuse(400));
      else if (this.#headTimer === undefined) this.#startHeadTimer();
      return;
    }
    this.#isResting = false;
    clearTimeout(this.#lastTimer);
    if (server !== undefined && this.#seat?.goOn() === true) {
      this.#goOn(server, reading);
      return;
    }
    this.#stopHeadTimer();
    this.#server = undefined;
    server?.destroy();
    this.#answer = new ServerAnswer();
    this.#socket.pause();
    if (upgrade !== undefined) this.#expectUpgrade(upgrade.held);
    void this.#connect(passed, refused !== undefined);
  }

  #restIfDone(): void {
    if (this.#seat === undefined || this.#deaf || this.#hasEnded || this.#answer.isUpgraded) return;
    if (!this.#answers.isAtRest || !this.#reader.isBetweenRequests || this.#isResting) return;
    this.#isResting = true;
    this.#seat.rest();
  }

  /** The server has gone while nothing was under way: its client need not know. */
  #serverLeft(server: Duplex): void {
    this.#server = undefined;
    server.destroy();
    clearTimeout(this.#lastTimer);
    this.#lastTimer = setTimeout(() => this.#socket.end(), REST_MS);
  }

  /** Answers that are under way are still carried; a refusal among them could be taken for a part of one. */
  #refuseLater(server: Duplex): void {
    this.#deaf = true;
    server.end();
    this.#endWithin(this.#host.limits.lingerMs);
  }

  async #connect(first: Buffer, isLast: boolean): Promise<void> {
    const target = this.#target;
    if (target === undefined) return;
    if (target.isPaused()) {
      this.#explain("paused");
      return;
    }
    const tooLate = AbortSignal.timeout(this.#host.limits.dialMs);
    let server: Duplex;
    try {
      server = await target.dial(first, AbortSignal.any([tooLate, this.#gone.signal]));
    } catch (error) {
      this.#cannotDial(target, error);
      return;
    }
    if (this.#socket.destroyed) {
      server.destroy();
      return;
    }
    this.#server = server;
    this.#seat = target.seatOf?.(server);
    if (server.destroyed) {
      this.#serverFailed(); // A guest can reset a connection with the segment behind the one that opened it.
      return;
    }
    this.#join(server);
    if (this.#hasEnded) server.end();
    if (isLast) this.#refuseLater(server);
    if (!this.#answer.isAwaited) this.#socket.resume();
  }

  #cannotDial(target: Target, error: unknown): void {
    const isRefused = (error as { code?: unknown }).code === "ECONNREFUSED";
    const known = error instanceof DialError ? error.trouble : undefined;
    if (known === "gone") this.#close(refuse(404));
    else this.#explain(known ?? (target.isPaused() ? "paused" : isRefused ? "nothing-listens" : "no-answer"));
  }

  #join(server: Duplex): void {
    const socket = this.#socket;
    server.on("data", (chunk: Buffer) => {
      if (this.#server !== server) return;
      if (this.#isResting) {
        // Nobody asked. It may be why the server ends; the answer to what another server is asked it must not be.
        this.#close(chunk);
        server.destroy();
        return;
      }
      if (this.#seat !== undefined) this.#answers.see(chunk);
      const outcome = this.#answer.see(chunk);
      this.#lastTimer?.refresh();
      if (!socket.write(chunk)) server.pause();
      if (outcome !== undefined) this.#upgradeAnswered(server, outcome);
      this.#restIfDone();
    });
    server.on("drain", () => {
      if (!this.#answer.isAwaited) socket.resume();
    });
    server.on("end", () => this.#serverOver(server, () => this.#serverEnded()));
    server.on("error", () => this.#serverOver(server, () => this.#serverFailed()));
  }

  #serverOver(server: Duplex, tell: () => void): void {
    if (this.#server !== server) return;
    if (this.#isResting) this.#serverLeft(server);
    else tell();
  }

  #expectUpgrade(held: Buffer | undefined): void {
    this.#answer.expect();
    this.#held = held;
  }

  #upgradeAnswered(server: Duplex, outcome: "upgraded" | "http"): void {
    if (outcome === "upgraded") this.#reader.passAll();
    const held = this.#held;
    this.#held = undefined;
    this.#socket.resume();
    if (held !== undefined) this.#goOn(server, this.#reader.read(held));
  }

  #clientEnded(): void {
    this.#hasEnded = true;
    if (this.#isResting) this.#socket.end();
    if (this.#server !== undefined) this.#server.end();
    else if (this.#head === undefined) this.#socket.end();
    // Mostly it is gone altogether, which a server that is silent would never notice.
    if (!this.#answer.isUpgraded) this.#endWithin(this.#host.limits.halfClosedMs);
  }

  #serverEnded(): void {
    if (!this.#answer.hasBegun) {
      this.#explain("closed-early");
      return;
    }
    this.#socket.end();
    this.#socket.resume();
    // Either end of what became of an upgrade may go on by itself.
    if (!this.#answer.isUpgraded) this.#endWithin(this.#host.limits.lingerMs);
  }

  #serverFailed(): void {
    if (!this.#answer.hasBegun) this.#explain("closed-early");
    // An orderly end could pass for the end of an answer.
    else this.#client.reset();
  }

  async #answerWaiting(target: Target): Promise<void> {
    const { waitMs } = this.#host.limits;
    try {
      const isThere = await waitForServer(target, AbortSignal.any([AbortSignal.timeout(waitMs), this.#gone.signal]));
      this.#close(answerWaiting(isThere));
    } catch {
      this.#close(refuse(404)); // There is no such name any more.
    }
  }

  #explain(trouble: Trouble): void {
    if (this.#target === undefined || this.#head === undefined) this.#close(refuse(503));
    else this.#close(explain(trouble, this.#target.subject, this.#head));
  }

  /** Says the last thing. What the client still sends is thrown away, so that it reads this before a reset. */
  #close(bytes: Buffer): void {
    this.#deaf = true;
    if (this.#socket.destroyed) return;
    this.#socket.end(bytes);
    this.#socket.resume();
    this.#endWithin(this.#host.limits.lingerMs);
  }

  /** Unless the server goes on talking, or the client is still reading what it said. */
  #endWithin(ms: number): void {
    clearTimeout(this.#lastTimer);
    this.#lastTimer = setTimeout(() => {
      if (this.#socket.writableLength > 0) this.#lastTimer?.refresh();
      else this.#socket.destroy();
    }, ms);
  }

  #startHeadTimer(): void {
    clearTimeout(this.#headTimer);
    this.#headTimer = setTimeout(() => this.#socket.destroy(), this.#host.limits.headMs);
  }

  #stopHeadTimer(): void {
    clearTimeout(this.#headTimer);
    this.#headTimer = undefined;
  }

  #closed(): void {
    clearTimeout(this.#headTimer);
    clearTimeout(this.#lastTimer);
    this.#gone.abort();
    this.#server?.destroy();
    this.#host.forget(this);
  }
}
