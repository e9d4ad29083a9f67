/**
 * What sbx's control plane has beyond the published API (docs/protocol-control.md): rows of one table. Each is
 * `POST /api/sbx/v1/NAME` with a JSON object, and both ends parse what they are sent with the row's schemas.
 */
import type * as z from "zod/mini";

/** Version of all that is below this path; another one would have another path. */
export const CONTROL_VERSION = 1;
export const CONTROL_PATH = "/api/sbx/v1";
/** Of every answer of a server that has these calls: what answers without it is no control plane of sbx. */
export const CONTROL_HEADER = "x-sbx-control";

/** What a token must be good for. */
export type ControlScope = "read" | "sandboxes" | "volumes" | "apps";

/**
 * How the answer comes: one JSON value; the same behind news of its progress; or items, one after the other, as long as
 * there are any. The latter two are lines (control-lines.ts).
 */
export type ControlAnswer = "value" | "progress" | "items";

export interface ControlCall<P extends z.core.$ZodType, R extends z.core.$ZodType> {
  readonly scope: ControlScope;
  readonly answer: ControlAnswer;
  readonly summary: string;
  /** Whether its parameters may be long: values of secrets. */
  readonly isLong: boolean;
  readonly params: P;
  /** Of the value, or of each item. */
  readonly result: R;
}

export type AnyControlCall = ControlCall<z.core.$ZodType, z.core.$ZodType>;

interface CallFacts {
  scope: ControlScope;
  answer?: ControlAnswer;
  summary: string;
  long?: boolean;
}

/** Longest parameters of a long call, `bytes`. */
export const MAX_LONG_PARAMS_BYTES = 2 * 1024 * 1024;

/** A row. Its schemas are made when they are first used: a command needs few of them. */
export function controlCall<P extends z.core.$ZodType, R extends z.core.$ZodType>(
  { scope, answer = "value", summary, long: isLong = false }: CallFacts,
  params: () => P,
  result: () => R,
): ControlCall<P, R> {
  let builtParams: P | undefined;
  let builtResult: R | undefined;
  return {
    ...{ scope, answer, summary, isLong },
    get params() {
      return (builtParams ??= params());
    },
    get result() {
      return (builtResult ??= result());
    },
  };
}
