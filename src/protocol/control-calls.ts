/** All control calls, and what a server says of itself. */
import * as z from "zod/mini";
import { CONTROL_PATH, type ControlCall } from "./control-call.ts";
import { APP_CALLS } from "./control-calls-apps.ts";
import { DISK_CALLS } from "./control-calls-disks.ts";
import { EDITOR_CALLS } from "./control-calls-editor.ts";
import { IMAGE_CALLS } from "./control-calls-images.ts";
import { METERING_CALLS } from "./control-calls-metering.ts";
import { NETWORK_CALLS } from "./control-calls-network.ts";
import { SANDBOX_CALLS } from "./control-calls-sandboxes.ts";
import { amount, text } from "./control-schema.ts";

export const CONTROL_CALLS = {
  ...SANDBOX_CALLS,
  ...IMAGE_CALLS,
  ...EDITOR_CALLS,
  ...DISK_CALLS,
  ...NETWORK_CALLS,
  ...METERING_CALLS,
  ...APP_CALLS,
};

export type ControlCallName = keyof typeof CONTROL_CALLS;
export type ControlParams<N extends ControlCallName> = Parsed<(typeof CONTROL_CALLS)[N]>["params"];
export type ControlResult<N extends ControlCallName> = Parsed<(typeof CONTROL_CALLS)[N]>["result"];
type Parsed<C> =
  C extends ControlCall<infer P, infer R> ? { params: Present<z.output<P>>; result: Present<z.output<R>> } : never;
/** JSON has no value for what is undefined: a key is there, or it is not. */
type Present<T> = T extends readonly (infer Item)[]
  ? Present<Item>[]
  : T extends object
    ? { [K in keyof T]: Present<Exclude<T[K], undefined>> }
    : T;

export const CONTROL_CALL_NAMES = Object.keys(CONTROL_CALLS) as ControlCallName[];

export function controlPath(name: string): string {
  return `${CONTROL_PATH}/${name}`;
}

/** `GET /api/sbx/v1/about`: needs a token, of any scope that reads. */
export const ABOUT_PATH = controlPath("about");

/** What a server says of itself, and of what the token's organisation may have. */
export const aboutAnswer = () =>
  z.object({
    /** Of sbx. */
    version: text(),
    organisation: text(),
    scopes: z.array(text()),
    /** Names of calls, and of what is no call (docs/protocol-control.md). A client asks for what is here, and not for a version. */
    features: z.array(text()).check(z.maxLength(1000)),
    /** Bytes, `ms`, and counts; `null` where there is none. */
    limits: z.record(z.string(), z.union([amount(), z.boolean(), z.null()])),
  });
export type AboutAnswer = z.output<ReturnType<typeof aboutAnswer>>;
