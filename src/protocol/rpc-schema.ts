/**
 * Building blocks of the RPC schemas. zod/mini, because a CLI process loads them on its way to the first byte, and
 * every method's schemas are built when they are first used.
 */
import * as z from "zod/mini";
import { MAX_LIST_ITEMS, MAX_PATH_CHARS, MAX_STREAM_ID, MAX_TEXT_CHARS, STREAM_WINDOW_BYTES } from "./rpc-limits.ts";

/** One row of the method table. */
export interface RpcMethod<P extends z.core.$ZodType, R extends z.core.$ZodType> {
  readonly params: P;
  readonly result: R;
}

/** A row whose schemas are made on first use. */
export function method<P extends z.core.$ZodType, R extends z.core.$ZodType>(
  params: () => P,
  result: () => R,
): RpcMethod<P, R> {
  let builtParams: P | undefined;
  let builtResult: R | undefined;
  return {
    get params() {
      return (builtParams ??= params());
    },
    get result() {
      return (builtResult ??= result());
    },
  };
}

/** Absent and null mean the same: the SDK omits, other clients send null. */
export const opt = <T extends z.core.$ZodType>(schema: T): z.ZodMiniOptional<z.ZodMiniNullable<T>> =>
  z.optional(z.nullable(schema));

export const path = () => z.string().check(z.minLength(1), z.maxLength(MAX_PATH_CHARS));
export const text = () => z.string().check(z.maxLength(MAX_TEXT_CHARS));
export const name = () => z.string().check(z.minLength(1), z.maxLength(4096));
export const list = <T extends z.core.$ZodType>(item: T): z.ZodMiniArray<T> =>
  z.array(item).check(z.maxLength(MAX_LIST_ITEMS));
export const count = () => z.number().check(z.int(), z.nonnegative());
export const streamId = () => z.number().check(z.int(), z.nonnegative(), z.maximum(MAX_STREAM_ID));
/** Process ids of Linux end at 2^22. */
export const pid = () => z.number().check(z.int(), z.positive(), z.maximum(2 ** 22));
export const port = () => z.number().check(z.int(), z.minimum(1), z.maximum(65_535));
/** Permission bits; the file type bits that some callers leave in are the server's to cut off. */
export const mode = () => z.number().check(z.int(), z.nonnegative(), z.maximum(0xffff_ffff));
/** Bytes as padded base64; bounded by the message, checked when decoded. */
export const bytes = () => z.string();
/** Anything `Date` can read; clients send ISO 8601 in UTC. */
export const date = () =>
  z.string().check(
    z.maxLength(64),
    z.refine((value) => !Number.isNaN(Date.parse(value)), { error: "not a date" }),
  );
export const environment = () =>
  z
    .record(z.string().check(z.maxLength(4096)), text())
    .check(z.refine((value) => Object.keys(value).length <= MAX_LIST_ITEMS, { error: "too many variables" }));
export const none = () => z.null();
/** A terminal to be made: its size, and how much of its output may be under way (absent: as of any stream). */
export const newTerminal = () =>
  z.extend(terminalSize(), {
    windowBytes: opt(z.number().check(z.int(), z.minimum(1024), z.maximum(STREAM_WINDOW_BYTES))),
  });

export const terminalSize = () =>
  z.object({
    cols: z.number().check(z.int(), z.minimum(1), z.maximum(65_535)),
    rows: z.number().check(z.int(), z.minimum(1), z.maximum(65_535)),
  });
