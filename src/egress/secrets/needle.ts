/**
 * What is looked for: a sequence of bytes in every form in which it may stand in a message. What is searched comes from
 * the guest or from an upstream, and both are hostile: a trial looks at a bounded number of bytes and never throws.
 */
import { Base64Form, type Alignment } from "./base64-form.ts";
import type { Form } from "./form.ts";
import { HexForm } from "./hex-form.ts";
import { TextForm } from "./text-form.ts";

/** Where a needle was found, and how it is written there. */
export interface Written {
  start: number;
  end: number;
  form: "text" | "hex" | Alignment;
  /** Bits of WRITTEN. */
  written: number;
}

export interface NeedleOptions {
  /** Letters may be in the other case, as in the name of an HTTP/2 header field. */
  anyCase: boolean;
  /** Base64 and hexadecimal as well: not for short needles, whose digits occur by chance. */
  coded: boolean;
}

/** Parts from which the grams of a search are taken, bytes of the needle. */
export const ANCHOR_BYTES = 24;

export class Needle<T> {
  readonly tag: T;
  /** What the needle's anchor is, to know needles with the same one. */
  readonly anchorKey: string;
  readonly #forms: readonly Form[];
  readonly #anchors: readonly { form: Form; from: number; to: number }[];

  constructor(text: string, tag: T, { anyCase, coded }: NeedleOptions) {
    this.tag = tag;
    const bytes = Buffer.from(text);
    const plain = new TextForm(text, anyCase);
    const base64 = coded ? ([0, 1, 2] as const).map((alignment) => new Base64Form(bytes, alignment)) : [];
    const hex = coded ? [new HexForm(bytes)] : [];
    this.#forms = [plain, ...base64, ...hex];
    const anchor = Math.min(ANCHOR_BYTES, bytes.length);
    this.anchorKey = `${anyCase} ${coded} ${bytes.toString("latin1", 0, anchor)}`;
    this.#anchors = [
      { form: plain, from: 0, to: anchor },
      ...base64.map((form) => ({ form, ...form.wholeSextets(anchor) })),
      ...hex.map((form) => ({ form, from: 0, to: 2 * anchor })),
    ];
  }

  /** Parts of each form whose every writing is made of known bytes. */
  get anchors(): readonly { form: Form; from: number; to: number }[] {
    return this.#anchors;
  }

  firstBytes(): number[] {
    return this.#forms.flatMap((form) => form.firstBytes());
  }

  /** The longest match at an offset, or `partial` where more text would tell. */
  try(data: Buffer, start: number): { match: Written | null; partial: boolean } {
    let match: Written | null = null;
    let partial = false;
    for (const form of this.#forms) {
      const trial = form.try(data, start);
      partial ||= trial.partial;
      if (trial.end < 0 || (match !== null && trial.end <= match.end)) continue;
      match = {
        start,
        end: trial.end,
        form: form instanceof Base64Form ? form.alignment : form.kind === "hex" ? "hex" : "text",
        written: trial.written,
      };
    }
    return { match, partial };
  }
}
