/**
 * A connection that need not be read. Its upstream is connected first and the guest's handshake is answered then, so
 * that a guest sees a refusal as what it is, and protocols in which the server speaks first work.
 *
 * The guest's first bytes are looked at all the same. TLS for another name is refused. HTTP goes to the interceptor.
 * They are held back until that is certain, but not for long: a program may send half a line and wait. Half a request
 * or half a ClientHello is nothing that a server could act on, so it is forwarded then, and the rest is watched.
 *
 * Only the first bytes are: TLS that begins later (STARTTLS, what follows a header of the PROXY protocol, a tunnel within
 * the tunnel) is whatever the server on the other side makes of it.
 */
import type { Duplex } from "node:stream";
import type { Decision } from "../../policy/spec.ts";
import { type UpstreamConnection, UpstreamError } from "../upstream/upstream.ts";
import type { DecidedVerdict } from "./first-bytes.ts";
import type { Denial } from "./flow-log.ts";
import type { ClientHello } from "../tls/client-hello.ts";
import { SecondHelloWatch } from "../tls/second-hello.ts";
import { checkTunnelledHello } from "./hello-check.ts";
import type { OpenFlow, ServedFlow } from "./open-flow.ts";
import { refuseStream, type TlsAlert } from "./refuse-stream.ts";
import { Sniffer } from "./sniffer.ts";
import { Tunnel } from "./tunnel.ts";

const NOTHING = Buffer.alloc(0);

export class TunnelledFlow implements ServedFlow {
  readonly isTunnel = true;
  readonly #open: OpenFlow;
  readonly #dialling = new AbortController();
  /** The sniffer, and the bytes that it holds, are let go of as soon as they are not needed any more. */
  #connection: { tunnel: Tunnel; sniffer: Sniffer | null; guest: Duplex; upstream: UpstreamConnection } | undefined;
  #hold: NodeJS.Timeout | undefined;
  /** Whether the first bytes have been found to be in order. */
  #isCleared = false;
  #secondHello: SecondHelloWatch | undefined;
  #isOver = false;

  constructor(open: OpenFlow) {
    this.#open = open;
  }

  get target() {
    return this.#open.target;
  }

  get judgedAddress(): string | null {
    if (this.#connection === undefined) return null;
    const { address, isChosen } = this.#connection.upstream;
    return isChosen === true ? null : address;
  }

  /** @param onDialled the upstream is connected, or will not be */
  async start(onDialled: () => void): Promise<void> {
    const { flow, services, log, facts } = this.#open;
    flow.onGone(() => this.#dialling.abort());
    try {
      const connection = await services.upstream.connect(this.target, this.#dialling.signal);
      onDialled();
      this.#accept(connection);
    } catch (error) {
      onDialled();
      if (this.#isOver) return;
      flow.refuse();
      const denial = error instanceof UpstreamError ? error.decision : undefined;
      if (denial === undefined) log.ended(facts.decision, { error: describeFailure(error) });
      else log.denied(denial);
      this.#end();
    }
  }

  cut(decision: Decision | null): void {
    if (this.#isOver) return;
    const counts = this.#counts();
    if (decision !== null) this.#open.log.denied(decision, counts);
    else this.#open.log.ended(this.#open.facts.decision, { ...counts, error: "the sandbox ended" });
    if (this.#connection === undefined) this.#open.flow.refuse();
    else this.#connection.tunnel.cut();
    this.#dialling.abort();
    this.#end();
  }

  #accept(upstream: UpstreamConnection): void {
    const { socket } = upstream;
    if (this.#isOver || this.#dialling.signal.aborted) {
      socket.destroy();
      if (this.#isOver) return;
      throw new UpstreamError("aborted", "the guest gave up");
    }
    const guest = this.#open.flow.accept();
    const sniffer = new Sniffer(guest, {
      onVerdict: (verdict) => this.#onVerdict(verdict),
      onUndecided: () => this.#startHold(),
      onEnd: () => this.#release(),
    });
    const tunnel = new Tunnel({
      guest,
      upstream: socket,
      mayForward: (chunk) => this.#watch(chunk),
      onUpstreamChunk: (chunk) => {
        if (this.#saidSomething) this.#release();
        this.#secondHello?.onServer(chunk);
      },
      onClosed: (brokenBy) => this.#onClosed(brokenBy),
    });
    this.#connection = { tunnel, sniffer, guest, upstream };
  }

  #startHold(): void {
    if (this.#connection?.tunnel.receivedBytes !== 0) this.#release();
    else this.#hold ??= setTimeout(() => this.#release(), this.#open.services.limits.holdMs);
  }

  get #saidSomething(): boolean {
    return (this.#connection?.sniffer?.first.bytes.length ?? 0) > 0;
  }

  /** Lets the guest's bytes through. */
  #release(): void {
    clearTimeout(this.#hold);
    const { sniffer, tunnel } = this.#connection ?? {};
    if (sniffer === null || sniffer === undefined) return;
    sniffer.stop();
    tunnel?.release(sniffer.first.bytes);
    this.#forgetFirstBytes();
  }

  #forgetFirstBytes(): void {
    if (this.#isCleared && this.#connection !== undefined) this.#connection.sniffer = null;
  }

  #onVerdict(verdict: DecidedVerdict): void {
    clearTimeout(this.#hold);
    const isFirst = this.#connection?.tunnel.receivedBytes === 0;
    if (verdict.kind === "http" && isFirst) this.#handOver();
    else if (this.#isInOrder(verdict)) this.#release();
  }

  /** Sees what follows bytes that were forwarded without a verdict, and what follows a hello. */
  #watch(chunk: Buffer): boolean {
    if (this.#isCleared) return this.#secondHello === undefined || this.#watchForHello(this.#secondHello, chunk);
    const verdict = this.#connection?.sniffer?.first.push(chunk) ?? { kind: "other" };
    if (verdict.kind === "more") return true;
    const isInOrder = this.#isInOrder(verdict);
    this.#forgetFirstBytes();
    return isInOrder;
  }

  #watchForHello(watch: SecondHelloWatch, chunk: Buffer): boolean {
    const verdict = watch.onClient(chunk);
    if (watch.isOver) this.#secondHello = undefined;
    if (verdict === null) return true;
    return verdict.kind === "hello" ? this.#isRightHello(verdict.hello) : this.#refuseHello(verdict.reason);
  }

  #isInOrder(verdict: DecidedVerdict): boolean {
    switch (verdict.kind) {
      case "http":
        return this.#refuse("an HTTP request that comes too late or too slowly to be read", null);
      case "malformed":
        return this.#refuseHello(verdict.reason);
      case "other":
        this.#isCleared = true;
        return true;
      case "tls": {
        if (!this.#isRightHello(verdict.hello)) return false;
        this.#isCleared = true;
        const watch = new SecondHelloWatch();
        this.#secondHello = watch;
        const rest = this.#connection?.sniffer?.first.bytes.subarray(verdict.endByte) ?? NOTHING;
        return rest.length === 0 || this.#watchForHello(watch, rest);
      }
    }
  }

  #isRightHello(hello: ClientHello): boolean {
    const denial = checkTunnelledHello(hello, this.target, this.#questions());
    return denial === null || this.#refuse(denial, "unrecognized_name");
  }

  #refuseHello(reason: string): false {
    return this.#refuse(`a TLS handshake that is not valid: ${reason}`, "decode_error");
  }

  #questions() {
    const { judge, mustRead } = this.#open.services;
    return { judge: judge(), mustRead };
  }

  #handOver(): void {
    const { tunnel, sniffer, guest } = this.#connection ?? {};
    if (tunnel === undefined || guest === undefined) return;
    const { services, facts, handOver } = this.#open;
    tunnel.detachGuest();
    sniffer?.giveBack();
    this.#isOver = true;
    handOver(guest);
    services.interceptor.servePlain(guest, facts);
  }

  #refuse(why: Denial | string, alert: TlsAlert | null): false {
    const { tunnel, sniffer, guest } = this.#connection ?? {};
    this.#open.log.denied(typeof why === "string" ? { rule: null, reason: why, fix: null } : why, this.#counts());
    sniffer?.stop();
    tunnel?.detachGuest();
    if (guest !== undefined) refuseStream(guest, tunnel?.receivedBytes === 0 ? alert : null);
    this.#end();
    return false;
  }

  #onClosed(brokenBy: "guest" | "upstream" | null): void {
    const error = brokenBy === null ? {} : { error: `the ${brokenBy} broke the connection off` };
    this.#open.log.ended(this.#open.facts.decision, { ...this.#counts(), ...error });
    this.#end();
  }

  #counts() {
    if (this.#connection === undefined) return {};
    const { tunnel, upstream } = this.#connection;
    const { address } = upstream;
    return { via: "tunnel" as const, address, sentBytes: tunnel.sentBytes, receivedBytes: tunnel.receivedBytes };
  }

  #end(): void {
    clearTimeout(this.#hold);
    if (this.#isOver) return;
    this.#isOver = true;
    this.#open.over(this.#connection?.guest);
  }
}

function describeFailure(error: unknown): string {
  if (!(error instanceof UpstreamError)) return String(error);
  return error.code === "aborted" ? "the guest gave up before it was connected" : error.message;
}
