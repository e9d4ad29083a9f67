/** Checks of the objects that an SDK returns: every field that its types declare, and what each holds. */
import assert from "node:assert/strict";

export type Kind = "undefined" | "string" | "number" | "boolean" | "object" | "Date" | "null" | "array";

/** Each field of `T`, and the kinds of values that it may have. The compiler asks for every one. */
export type Shape<T> = { [K in keyof Required<T>]: Kind | Kind[] };

/** @throws AssertionError that names the field */
export function assertShape<T extends object>(value: T | null | undefined, shape: Shape<T>): asserts value is T {
  assert.ok(value, "there is no such object");
  for (const [field, kinds] of Object.entries<Kind | Kind[]>(shape)) {
    const kind = kindOf((value as Record<string, unknown>)[field]);
    assert.ok([kinds].flat().includes(kind), `${field} is of the kind ${kind}`);
  }
}

function kindOf(value: unknown): Kind {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (value instanceof Date) return "Date";
  return typeof value as Kind;
}
