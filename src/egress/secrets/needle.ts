/**
 * What is looked for: a sequence of bytes in every form in which it may stand in a message. What is searched comes from
 * the guest or from an upstream, and both are hostile: a trial looks at a bounded number of bytes and never throws.
 */
import { Base64Form } from "./base64-form.ts";
import type { Form, FormKind } from "./form.ts";
import { HexForm } from "./hex-form.ts";
import { TextForm } from "./text-form.ts";

/** Where a needle was found, and how it is written there. */
export interface Written {
  start: number;
  end: number;
  form: FormKind;
  /** Bits of WRITTEN. */
  written: number;
}

export interface NeedleOptions {
  /** Letters may be in the other case, as in the name of an HTTP/2 header field. */
  anyCase: boolean;
  /** Base64 and hexadecimal as well: not for short needles, whose digits occur by chance. */
  coded: boolean;
}

/** What the grams of a search are taken from, at most. */
const ANCHOR_BYTES = 24;

export class Needle<T> {
  readonly tag: T;
  readonly forms: readonly Form[];
  /** The same forms of the needle's first bytes: where they do not match, the needle does not. */
  readonly anchors: readonly Form[];
  /** Needles with the same key have the same anchors. */
  readonly anchorKey: string;

  constructor(text: string, tag: T, { anyCase, coded }: NeedleOptions) {
    this.tag = tag;
    this.forms = formsOf(text, anyCase, coded);
    const anchor = firstCharacters(text, ANCHOR_BYTES);
    this.anchors = anchor === text ? this.forms : formsOf(anchor, anyCase, coded);
    this.anchorKey = `${anyCase} ${coded} ${anchor}`;
  }
}

function formsOf(text: string, anyCase: boolean, coded: boolean): Form[] {
  const plain = new TextForm(text, anyCase);
  if (!coded) return [plain];
  const bytes = Buffer.from(text);
  return [plain, ...([0, 1, 2] as const).map((alignment) => new Base64Form(bytes, alignment)), new HexForm(bytes)];
}

/** As many whole characters as fit. */
function firstCharacters(text: string, maxBytes: number): string {
  let first = "";
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    first += character;
  }
  return first;
}
