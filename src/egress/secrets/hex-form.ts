/** A sequence of bytes in hexadecimal digits, of either case. */
import { WRITTEN } from "./escapes.ts";
import type { Form, Step, Trial } from "./form.ts";

export class HexForm implements Form {
  /** In lower case. */
  readonly #digits: Buffer;

  constructor(bytes: Buffer) {
    this.#digits = Buffer.from(bytes.toString("hex"));
  }

  get kind(): "hex" {
    return "hex";
  }

  get length(): number {
    return this.#digits.length;
  }

  firstBytes(): number[] {
    const [first = 0] = this.#digits;
    return [first, upperCase(first)];
  }

  steps(index: number): Step[] {
    return [{ bytes: this.#digits.subarray(index, index + 1), to: index + 1 }];
  }

  try(data: Buffer, begin: number): Trial {
    const digits = this.#digits;
    for (let index = 0; index < digits.length; index += 1) {
      const byte = data[begin + index];
      if (byte === undefined) return { end: -1, written: WRITTEN.plain, partial: true };
      const digit = digits[index] ?? 0;
      if (byte !== digit && byte !== upperCase(digit)) return { end: -1, written: WRITTEN.plain, partial: false };
    }
    return { end: begin + digits.length, written: WRITTEN.plain, partial: false };
  }
}

function upperCase(digit: number): number {
  return digit >= 0x61 ? digit ^ 0x20 : digit;
}
