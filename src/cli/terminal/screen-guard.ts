/**
 * What a guest writes, on its way to the user's terminal: control sequences that could do harm are taken out, what the
 * others turn on is remembered. The guest is hostile; the memory is bounded, and bytes may be cut anywhere.
 *
 * Two streams may share a terminal, so that no byte may become dangerous by what the other stream puts before it: an
 * introducer is held until its sequence is complete, and then handed on in one piece with it.
 */
import {
  C1_LEAD,
  ESC,
  findStringEnd,
  INTRODUCER_BYTES,
  parseControl,
  scanSequence,
  type Scan,
  type SequenceKind,
} from "./control-sequences.ts";
import type { ModeTracker } from "./mode-tracker.ts";
import { isPicture, mayControl, mayEscape, mayString } from "./sequence-rules.ts";

const ENQ = 0x05;
const SHIFT_OUT = 0x0e;
/** Second byte of U+009C, which ends a string. */
const STRING_TERMINATOR_TAIL = 0x9c;
const ZERO = 0x30;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const COLORS_FINAL = 0x6d;
/** Final bytes of what moves the cursor, clears, inserts and deletes. */
const DRAWING_FINALS: ReadonlySet<number> = new Set(Buffer.from("@ABCDEFGHIJKLMPSXZ`adef"));
/** What a terminal shows for a byte that is not UTF-8. */
const REPLACEMENT = Buffer.from("\ufffd");
const STRING_TERMINATOR = Buffer.from("\u001b\\");

type Complete = Extract<Scan, { result: "complete" }>;

/** A string that is too long to be kept: it is left out to its end, or a picture that passes piece by piece. */
type LongString = { kind: SequenceKind; shown: boolean };

export class ScreenGuard {
  readonly #tracker: ModeTracker;
  readonly #shownParts: Buffer[] = [];
  /** The beginning of a sequence whose end has not come. */
  #held: Buffer = Buffer.alloc(0);
  #long: LongString | undefined;
  /** Bytes that the character under way still needs, and the lowest that the next one may be. */
  #needed = 0;
  #lowest = 0x80;

  constructor(tracker: ModeTracker) {
    this.#tracker = tracker;
  }

  /** What of the next bytes is to be shown. */
  pass(chunk: Buffer): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    let at = 0;
    while (at < bytes.length) at = this.#long === undefined ? this.#text(bytes, at) : this.#rest(bytes, at, this.#long);
    const shown = this.#shownParts.splice(0);
    const [only] = shown;
    return shown.length === 1 && only !== undefined ? only : Buffer.concat(shown);
  }

  /** Whether a sequence has begun and not ended. Of what passes, only a picture may have been shown in part. */
  get isUnfinished(): boolean {
    return this.#long !== undefined || this.#held.length > 0;
  }

  /** Text and sequences that pass, up to the first that does not or is not complete. Returns where to go on. */
  #text(bytes: Buffer, start: number): number {
    let at = start;
    while (at < bytes.length) {
      const byte = bytes[at] ?? 0;
      if (byte !== ESC && byte !== C1_LEAD) {
        if (!this.#isPlain(byte)) return this.#replace(bytes, start, at);
        at++;
        continue;
      }
      this.#needed = 0;
      const second = bytes[at + 1];
      if (byte === C1_LEAD && !isBetween(second, 0x80, 0x9f)) {
        if (second === undefined) return this.#hold(bytes, start, at);
        // An ordinary character of two bytes, or half of one.
        if (!isBetween(second, 0xa0, 0xbf)) return this.#replace(bytes, start, at);
        at += 2;
        continue;
      }
      const scan = scanSequence(bytes, at);
      if (scan.result !== "complete" || !this.#mayPass(bytes, at, scan)) return this.#take(bytes, start, at, scan);
      at = scan.end;
    }
    this.#show(bytes, start, at);
    return at;
  }

  /** Whether a byte outside of sequences passes as it is. */
  #isPlain(byte: number): boolean {
    if (byte < 0x80) {
      this.#needed = 0;
      if (byte === SHIFT_OUT) this.#tracker.shiftOut();
      return byte !== ENQ;
    }
    if (this.#needed > 0 && byte >= this.#lowest && byte < 0xc0) {
      this.#needed--;
      this.#lowest = 0x80;
      return true;
    }
    this.#needed = 0;
    // Overlong forms of controls begin with C0, C1, E0 or F0: some decoders take them.
    if (byte < 0xc2 || byte > 0xf4) return false;
    if (byte < 0xe0) this.#expect(1, 0x80);
    else if (byte < 0xf0) this.#expect(2, byte === 0xe0 ? 0xa0 : 0x80);
    else this.#expect(3, byte === 0xf0 ? 0x90 : 0x80);
    return true;
  }

  #expect(needed: number, lowest: number): void {
    this.#needed = needed;
    this.#lowest = lowest;
  }

  /** A byte that is no text: one alone that may be a control in another encoding, or the question for the answerback. */
  #replace(bytes: Buffer, start: number, at: number): number {
    this.#show(bytes, start, at);
    if (bytes[at] !== ENQ) this.#shownParts.push(REPLACEMENT);
    return at + 1;
  }

  #hold(bytes: Buffer, start: number, at: number): number {
    this.#show(bytes, start, at);
    this.#held = Buffer.from(bytes.subarray(at));
    return bytes.length;
  }

  /** A sequence that does not pass as a whole. */
  #take(bytes: Buffer, start: number, at: number, scan: Scan): number {
    if (scan.result === "partial") return this.#hold(bytes, start, at);
    this.#show(bytes, start, at);
    if (scan.result !== "oversize") return scan.end;
    const body = bytes.subarray(at + INTRODUCER_BYTES, scan.end);
    const shown = scan.kind === "dcs" && isPicture(body);
    this.#long = { kind: scan.kind, shown };
    if (!shown) return scan.end;
    this.#shownParts.push(bytes.subarray(at, at + INTRODUCER_BYTES));
    return at + INTRODUCER_BYTES;
  }

  #mayPass(bytes: Buffer, at: number, { kind, bodyEnd }: Complete): boolean {
    if (kind === "escape") {
      const body = bytes.toString("latin1", at + 1, bodyEnd + 1);
      if (bytes[at] === C1_LEAD) return bytes[bodyEnd] !== STRING_TERMINATOR_TAIL;
      if (!mayEscape(body)) return false;
      this.#tracker.escape(body);
      return true;
    }
    if (kind === "csi") {
      if (this.#isCommon(bytes, at + INTRODUCER_BYTES, bodyEnd)) return true;
      const sequence = parseControl(bytes.toString("latin1", at + INTRODUCER_BYTES, bodyEnd + 1));
      if (sequence === undefined || !mayControl(sequence)) return false;
      this.#tracker.control(sequence);
      return true;
    }
    const body = bytes.subarray(at + INTRODUCER_BYTES, bodyEnd);
    if (kind === "dcs") return isPicture(body) && body.every(isPictureByte);
    if (!mayString(kind, body)) return false;
    if (kind === "osc") this.#tracker.command(body.toString());
    return true;
  }

  /** Colours, and what moves the cursor or clears: most of all sequences, and not worth to be taken apart. */
  #isCommon(bytes: Buffer, from: number, finalAt: number): boolean {
    let isSet = false;
    for (let at = from; at < finalAt; at++) {
      const byte = bytes[at] ?? 0;
      // A prefix or an intermediate makes another sequence of it.
      if (byte < ZERO || byte > SEMICOLON) return false;
      isSet ||= byte > ZERO && byte < COLON;
    }
    const final = bytes[finalAt] ?? 0;
    if (final === COLORS_FINAL) this.#tracker.colors(isSet);
    return final === COLORS_FINAL || DRAWING_FINALS.has(final);
  }

  /** More of a long string. */
  #rest(bytes: Buffer, start: number, { kind, shown }: LongString): number {
    const stop = findStringEnd(bytes, start, kind);
    if (shown) {
      const bodyEnd = stop.result === "terminated" ? stop.bodyEnd : stop.end;
      this.#shownParts.push(Buffer.from(bytes.subarray(start, bodyEnd).filter(isPictureByte)));
    }
    if (stop.result === "open") {
      // What is left is half of a terminator, if anything.
      this.#held = Buffer.from(bytes.subarray(stop.end));
      return bytes.length;
    }
    if (shown) this.#shownParts.push(STRING_TERMINATOR);
    this.#long = undefined;
    return stop.end;
  }

  #show(bytes: Buffer, start: number, end: number): void {
    if (end > start) this.#shownParts.push(bytes.subarray(start, end));
  }
}

function isBetween(byte: number | undefined, low: number, high: number): boolean {
  return byte !== undefined && byte >= low && byte <= high;
}

function isPictureByte(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d;
}
