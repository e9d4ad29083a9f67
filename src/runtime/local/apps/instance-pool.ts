/**
 * The instances of one revision in one context, as this process knows them. Connections go to the least busy one; where
 * all are busy another one is started, up to a limit. When nothing is under way for the first time, the memory of one is
 * kept, for the next start.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Duplex } from "node:stream";
import { abortedError, throwIfAborted } from "../../abort.ts";
import type { AppConnection, InstanceSettings } from "../../apps.ts";
import { SbxError } from "../../errors.ts";
import { BackOff, STEADY_MS } from "./back-off.ts";
import { isPassing, type InstanceDoor } from "./instance-door.ts";
import type { Instance, InstancePlan, InstanceStarter } from "./instance-start.ts";
import type { InstanceName } from "./warm-instances.ts";

export interface InstanceLimits {
  /** Connections to one instance, beyond which another one is started. */
  connections: number;
  /** Instances at one time. */
  instances: number;
  /** How long one lives beyond its last use, `ms`. */
  idleMs: number;
  /** How long a connection waits for one that has room, `ms`. */
  waitMs: number;
  /** With nothing under way for so long, the memory of one is kept, `ms`. */
  restMs: number;
  /** What connections have to come to their end when the instance is no longer wanted, `ms`. */
  drainMs: number;
}

/** Between two extensions of one that is used, `ms`. */
const EXTEND_EVERY_MS = 60_000;
/** One more could not be started: not tried again for so long, `ms`. */
const GROWTH_PAUSE_MS = 5000;
const DRAIN_LOOK_MS = 100;
/** Of one connection: each takes an instance that turns out to be gone. And of keeping a memory. */
const MAX_ATTEMPTS = 3;

interface Member extends Instance {
  busy: number;
  startedAt: number;
  extendedAt: number;
  /** Ends it. */
  idle?: NodeJS.Timeout;
}

export interface InstancePoolOptions {
  name: InstanceName;
  starter: InstanceStarter;
  door: InstanceDoor;
  extend: (id: string, ms: number) => Promise<unknown>;
  limits: InstanceLimits;
}

export class InstancePool implements AsyncDisposable {
  readonly #options: InstancePoolOptions;
  readonly #members = new Set<Member>();
  readonly #ending = new AbortController();
  readonly #backOff = new BackOff();
  /** Connections that wait for room. */
  #waiting: (() => void)[] = [];
  #starting: Promise<void> | undefined;
  #growsAfter = 0;
  #plan: (() => Promise<InstancePlan>) | undefined;
  #rest: NodeJS.Timeout | undefined;
  #keeping: Promise<void> | undefined;
  /** Whether its memory is looked after: done, or not possible. */
  #isWarmSettled = false;
  /** Requests, or connections with several, so far. */
  #asked = 0;
  /** How often one came while the memory was being kept. */
  #disturbed = 0;
  /** Those of the options, but for what was said of the app. */
  #limits: InstanceLimits;
  /** It is not wanted any more, unless somebody asks for it again. */
  #isDraining = false;

  constructor(options: InstancePoolOptions) {
    this.#options = options;
    this.#limits = options.limits;
  }

  /** From now on, also for those that run. */
  configure({ idleMs, concurrency, instances }: Partial<InstanceSettings>): void {
    const { limits } = this.#options;
    this.#limits = {
      ...limits,
      ...{ connections: concurrency ?? limits.connections, instances: instances ?? limits.instances },
      idleMs: idleMs ?? limits.idleMs,
    };
  }

  /** Has one run that answers requests. @throws SbxError with what it said, if it does not */
  async ensure(plan: InstancePlan, signal?: AbortSignal): Promise<void> {
    this.#isDraining = false;
    this.#backOff.reset();
    this.#plan ??= async () => plan;
    // Those that run, or one that goes on from its memory; then one from the files.
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      if (this.#members.size === 0)
        await this.#orLeft(
          this.#grow(async () => plan),
          signal,
        );
      for (const member of [...this.#members]) {
        if (await this.#options.starter.answers(member, signal)) return;
        throwIfAborted(signal, "starting the app");
        await this.#bury(member);
      }
    }
    throw new SbxError("guest_error", "the program answers no request", { hint: "sbx app logs APP" });
  }

  /** A connection to the least busy one. @param plan asked for when one has to be started */
  async open(plan: () => Promise<InstancePlan>, signal?: AbortSignal): Promise<AppConnection> {
    this.#isDraining = false;
    this.#plan = plan;
    for (let attempt = 1; ; attempt++) {
      const member = await this.#take(plan, signal);
      try {
        return this.#follow(member, await this.#options.door.open(member, signal));
      } catch (error) {
        this.#giveBack(member);
        throwIfAborted(signal, "connecting to the app");
        if (isPassing(error)) throw error;
        // It ended meanwhile, or its program did: once more, with another one.
        await this.#bury(member);
        if (attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  /** Until its connections have come to their end, or have had their time. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const deadline = performance.now() + this.#limits.drainMs;
    while (this.#busy > 0 && performance.now() < deadline && !this.isWanted && !this.#ending.signal.aborted) {
      await sleep(DRAIN_LOOK_MS, undefined, { ref: false });
    }
  }

  /** Whether somebody has asked for it since it was last drained. */
  get isWanted(): boolean {
    return !this.#isDraining;
  }

  /** Ends all of it. */
  async end(reason: SbxError): Promise<void> {
    const members = [...this.#members];
    await this.#leave(reason);
    await Promise.all(members.map(async (member) => this.#options.starter.end(member)));
  }

  /** Lets go of the instances; they live on for as long as they were given. */
  async [Symbol.asyncDispose](): Promise<void> {
    const members = [...this.#members];
    await this.#leave(new SbxError("aborted", "the process that started it has ended"));
    await Promise.all(members.map(async ({ sandbox }) => sandbox[Symbol.asyncDispose]()));
  }

  get #busy(): number {
    return [...this.#members].reduce((sum, { busy }) => sum + busy, 0);
  }

  async #leave(reason: SbxError): Promise<void> {
    clearTimeout(this.#rest);
    this.#ending.abort(reason);
    await this.#starting?.catch(() => undefined);
    await this.#keeping;
    this.#members.clear();
    this.#wakeWaiting();
  }

  async #take(plan: () => Promise<InstancePlan>, signal: AbortSignal | undefined): Promise<Member> {
    const { connections, instances, waitMs } = this.#limits;
    const deadline = performance.now() + waitMs;
    for (;;) {
      throwIfAborted(this.#ending.signal, "connecting to the app");
      const [best] = [...this.#members].toSorted((a, b) => a.busy - b.busy);
      if (best !== undefined && best.busy < connections) {
        this.#occupy(best);
        return best;
      }
      if (best === undefined) {
        this.#backOff.check();
        await this.#orLeft(this.#grow(plan), signal);
        continue;
      }
      if (this.#members.size < instances && performance.now() >= this.#growsAfter) {
        // Those that run are waited for all the same.
        this.#grow(plan).catch(() => undefined);
      }
      await this.#untilRoom(deadline, signal);
    }
  }

  /** However many ask at once: one start at a time, which goes on for the others when one of them leaves. */
  async #grow(plan: () => Promise<InstancePlan>): Promise<void> {
    this.#starting ??= this.#startOne(plan).finally(() => {
      this.#starting = undefined;
      this.#wakeWaiting();
    });
    return this.#starting;
  }

  async #startOne(plan: () => Promise<InstancePlan>): Promise<void> {
    const { name, starter } = this.#options;
    const { signal } = this.#ending;
    try {
      const known = new Set([...this.#members].map(({ sandbox }) => sandbox.id));
      for (const instance of await starter.findOrStart(name, known, plan, signal)) this.#add(instance);
    } catch (error) {
      this.#growsAfter = performance.now() + GROWTH_PAUSE_MS;
      if (!signal.aborted) this.#backOff.failed(error);
      throw error;
    }
  }

  #add(instance: Instance): void {
    const member: Member = { ...instance, busy: 0, startedAt: performance.now(), extendedAt: 0 };
    this.#members.add(member);
    if (this.#disturbed > 0) [this.#disturbed, this.#isWarmSettled] = [0, false];
    const forget = (): void => {
      this.#members.delete(member);
    };
    void instance.sandbox.closed.then(forget, forget);
    this.#restSoon();
  }

  async #orLeft<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal === undefined) return work;
    const { promise: left, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(abortedError(signal, "starting the app"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([work, left]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #untilRoom(deadline: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const full = (): void => {
      reject(new SbxError("insufficient_resources", "all instances of the app are busy", { hint: "try again soon" }));
    };
    const timer = setTimeout(full, Math.max(0, deadline - performance.now()));
    this.#waiting.push(resolve);
    try {
      await this.#orLeft(promise, signal);
    } finally {
      clearTimeout(timer);
      this.#waiting = this.#waiting.filter((one) => one !== resolve);
    }
  }

  #wakeWaiting(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #giveBack(member: Member): void {
    member.busy--;
    this.#waiting.shift()?.();
    if (member.busy === 0) this.#endSoon(member);
    if (this.#busy === 0) this.#restSoon();
  }

  /** Its program answers no more. The first that notices tells the others. */
  async #bury(member: Member): Promise<void> {
    if (!this.#members.delete(member)) return;
    const { starter, name } = this.#options;
    const livedMs = performance.now() - member.startedAt;
    // A machine that is gone says nothing of the program.
    if (await starter.isRunning(member)) this.#backOff.ended(livedMs);
    await starter.end(member);
    // What ends as soon as it goes on would do so every time.
    if (member.isWoken && livedMs < STEADY_MS) await starter.forgetWarm(name);
    this.#isWarmSettled = false;
  }

  /** While something is under way its instance lives. */
  #follow(member: Member, stream: Duplex): AppConnection {
    const { door } = this.#options;
    let isBusy = true;
    this.#keepAlive(member);
    const timer = setInterval(() => {
      if (isBusy) this.#keepAlive(member);
    }, EXTEND_EVERY_MS).unref();
    const rest = (): void => {
      if (!isBusy) return;
      isBusy = false;
      this.#giveBack(member);
      door.prepare(member);
    };
    stream.once("close", () => {
      clearInterval(timer);
      rest();
    });
    const goOn = (): boolean => {
      if (isBusy) return true;
      const isGone = stream.destroyed || stream.readableEnded || !this.#members.has(member);
      if (isGone || door.isOutdated(member, stream) || this.#isDraining || member.busy >= this.#limits.connections)
        return false;
      isBusy = true;
      this.#occupy(member);
      this.#keepAlive(member);
      return true;
    };
    return { stream, rest, goOn };
  }

  #occupy(member: Member): void {
    member.busy++;
    this.#asked++;
    clearTimeout(member.idle);
    clearTimeout(this.#rest);
  }

  /** One that nobody has asked for so long that its machine would live too long by itself. */
  #endSoon(member: Member): void {
    clearTimeout(member.idle);
    if (this.#limits.idleMs >= this.#options.limits.idleMs) return;
    member.idle = setTimeout(() => void this.#endIdle(member), this.#limits.idleMs).unref();
  }

  async #endIdle(member: Member): Promise<void> {
    await this.#keeping;
    if (member.busy > 0 || !this.#members.delete(member)) return;
    await this.#options.starter.end(member).catch(() => undefined);
  }

  #keepAlive(member: Member): void {
    const { extend, limits } = this.#options;
    // A machine never lives shorter than it was started for; what rests sooner is ended here.
    const ms = Math.max(this.#limits.idleMs, limits.idleMs);
    if (member.extendedAt > 0 && performance.now() - member.extendedAt < EXTEND_EVERY_MS) return;
    member.extendedAt = performance.now();
    void extend(member.sandbox.id, ms).catch(() => undefined);
  }

  #restSoon(): void {
    if (this.#isWarmSettled || this.#ending.signal.aborted) return;
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#keeping ??= this.#keepWarm().finally(() => {
        this.#keeping = undefined;
      });
    }, this.#limits.restMs).unref();
  }

  async #keepWarm(): Promise<void> {
    const { starter } = this.#options;
    const [member] = this.#members;
    if (member === undefined || this.#plan === undefined || this.#busy > 0) return;
    this.#isWarmSettled = true;
    try {
      const plan = await this.#plan();
      if (!starter.wantsWarm(plan)) return;
      const asked = this.#asked;
      if (this.#busy === 0) await starter.keepWarm(plan, member, this.#ending.signal);
      if (asked === this.#asked && this.#busy === 0) return;
      // Somebody's request is in it, half done.
      await starter.forgetWarm(plan);
      if (++this.#disturbed >= MAX_ATTEMPTS) return;
      this.#isWarmSettled = false;
      if (this.#busy === 0) this.#restSoon();
    } catch {
      // The disk is full, or it ended in this moment: the next start is one from its files.
    }
  }
}
