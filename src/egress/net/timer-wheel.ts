/**
 * Timers of all flows on one wheel with one Node timer. Putting a timer off, which every acknowledgement does, costs an
 * assignment: it stays in its slot and is moved on when the slot is due.
 */
import type { Clock } from "./clock.ts";

const TICK_MS = 50;
const SLOTS = 512;

/** One timer; the wheel links them. */
export class WheelTimer {
  readonly onDue: (now: number) => void;
  dueTick = 0;
  /** Slot it is linked in; -1: none. */
  slot = -1;
  slotTick = 0;
  next: WheelTimer | undefined;
  previous: WheelTimer | undefined;

  constructor(onDue: (now: number) => void) {
    this.onDue = onDue;
  }
}

export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: (WheelTimer | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #count = 0;
  /** The last tick that was worked off. */
  #tick: number;
  #wakeTick = Infinity;
  #cancelWake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tick = Math.floor(clock.now() / TICK_MS);
  }

  /** (Re)arms: due at `at` or up to a tick later. */
  arm(timer: WheelTimer, at: number): void {
    timer.dueTick = Math.max(Math.ceil(at / TICK_MS), this.#tick + 1);
    if (timer.slot >= 0) {
      if (timer.slotTick <= timer.dueTick) return;
      this.#unlink(timer);
    }
    this.#link(timer);
  }

  disarm(timer: WheelTimer): void {
    if (timer.slot >= 0) this.#unlink(timer);
  }

  close(): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    this.#wakeTick = Infinity;
    this.#slots.fill(undefined);
    this.#count = 0;
  }

  #link(timer: WheelTimer): void {
    // With an idle wheel the worked-off tick stands still.
    if (this.#count === 0) this.#tick = Math.max(this.#tick, Math.floor(this.#clock.now() / TICK_MS));
    const tick = Math.min(timer.dueTick, this.#tick + SLOTS - 1);
    const slot = tick % SLOTS;
    const head = this.#slots[slot];
    timer.slot = slot;
    timer.slotTick = tick;
    timer.previous = undefined;
    timer.next = head;
    if (head !== undefined) head.previous = timer;
    this.#slots[slot] = timer;
    this.#count++;
    if (tick < this.#wakeTick) this.#wake(tick);
  }

  #unlink(timer: WheelTimer): void {
    if (timer.previous === undefined) this.#slots[timer.slot] = timer.next;
    else timer.previous.next = timer.next;
    if (timer.next !== undefined) timer.next.previous = timer.previous;
    timer.next = undefined;
    timer.previous = undefined;
    timer.slot = -1;
    this.#count--;
  }

  #wake(tick: number): void {
    this.#cancelWake?.();
    this.#wakeTick = tick;
    this.#cancelWake = this.#clock.after(Math.max(0, tick * TICK_MS - this.#clock.now()), () => this.#run());
  }

  #run(): void {
    this.#cancelWake = undefined;
    // What is armed meanwhile does not wake: the next slot is looked for afterwards.
    this.#wakeTick = -1;
    const now = this.#clock.now();
    const last = Math.floor(now / TICK_MS);
    // After a long sleep each slot is visited once.
    const begin = Math.max(this.#tick + 1, last - SLOTS + 1);
    for (let tick = begin; tick <= last && this.#count > 0; tick++) {
      this.#tick = tick;
      this.#runSlot(tick % SLOTS, last, now);
    }
    this.#tick = Math.max(this.#tick, last);
    this.#wakeTick = Infinity;
    if (this.#count > 0) this.#wakeForNext();
  }

  #runSlot(slot: number, last: number, now: number): void {
    // Taken whole: what is armed from now on is for later, and a due timer may disarm any other.
    const due: WheelTimer[] = [];
    for (let timer = this.#slots[slot]; timer !== undefined; timer = timer.next) due.push(timer);
    for (const timer of due) {
      if (timer.slot !== slot || timer.slotTick > last) continue;
      this.#unlink(timer);
      if (timer.dueTick > last) this.#link(timer);
      else timer.onDue(now);
    }
  }

  #wakeForNext(): void {
    for (let ahead = 1; ahead < SLOTS; ahead++) {
      if (this.#slots[(this.#tick + ahead) % SLOTS] !== undefined) {
        this.#wake(this.#tick + ahead);
        return;
      }
    }
  }
}
