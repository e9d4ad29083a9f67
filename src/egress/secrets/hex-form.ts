/** A sequence of bytes in hexadecimal digits, of either case. */
import { WRITTEN } from "./escapes.ts";
import { CUT_OFF, type Form, NO_MATCH, type Step, type Trial } from "./form.ts";

export class HexForm implements Form {
  /** In lower case. */
  readonly #digits: Buffer;
  #read = 0;

  constructor(bytes: Buffer) {
    this.#digits = Buffer.from(bytes.toString("hex"));
  }

  get kind(): "hex" {
    return "hex";
  }

  get read(): number {
    return this.#read;
  }

  get wholeParts(): { from: number; to: number } {
    return { from: 0, to: this.#digits.length };
  }

  firstSteps(): Step[] {
    return this.steps(0);
  }

  steps(index: number): Step[] {
    return [{ bytes: this.#digits.subarray(index, index + 1), to: index + 1 }];
  }

  try(data: Buffer, begin: number): Trial {
    const digits = this.#digits;
    for (let index = 0; index < digits.length; index += 1) {
      const byte = data[begin + index];
      this.#read = index + 1;
      if (byte === undefined) return CUT_OFF;
      const digit = digits[index] ?? 0;
      if (byte !== digit && byte !== upperCase(digit)) return NO_MATCH;
    }
    return { end: begin + digits.length, written: WRITTEN.plain, partial: false };
  }
}

function upperCase(digit: number): number {
  return digit >= 0x61 ? digit ^ 0x20 : digit;
}
