/**
 * Building blocks of the control calls' schemas. zod/mini, because a command loads them on its way to the first byte. What
 * a client sends is bounded by the server's limit on bodies, what a server answers by the client's on answers.
 */
import * as z from "zod/mini";
import { MAX_SECRETS, SECRET_NAME } from "./net-calls.ts";
import { MAX_SECRET_BYTES } from "./secret-value.ts";

/** Longest name, id, beginning of one, or reference that the user wrote. */
const MAX_REF = 256;
/** Of one call, as of the published API. */
const MAX_LABELS = 5;

/** What a user calls something: id, name, or a unique beginning of either. */
export const ref = () => z.string().check(z.minLength(1), z.maxLength(MAX_REF));
export const byRef = () => z.object({ ref: ref() });
export const nothing = () => z.object({});
/** Whatever the server says of it, which is shown to people only. */
export const text = () => z.string();
export const amount = () => z.number().check(z.nonnegative());
export const count = () => z.int().check(z.minimum(0), z.maximum(Number.MAX_SAFE_INTEGER));
/** Epoch `ms`. */
export const time = () => z.number().check(z.minimum(-8.64e15), z.maximum(8.64e15));
/** Not those by which a server knows the instances of apps. */
export const labels = () =>
  z
    .record(
      z.string().check(z.minLength(1), z.maxLength(64), z.regex(/^(?!sbx\.)/)),
      z.string().check(z.maxLength(128)),
    )
    .check(z.refine((record) => Object.keys(record).length <= MAX_LABELS, { error: `at most ${MAX_LABELS} labels` }));
export const variables = () =>
  z.record(z.string().check(z.regex(/^[^=\0]{1,256}$/)), z.string().check(z.regex(/^[^\0]*$/)));
/** Hosts that a secret is for. */
export const secretHost = () => z.object({ host: text(), port: z.nullable(port()), scheme: z.enum(["http", "https"]) });
/** Values of secrets, by name: they go on to a sandbox's supervisor, and are kept nowhere else. */
export const secretValues = () =>
  z
    .record(z.string().check(z.regex(SECRET_NAME)), z.string().check(z.maxLength(MAX_SECRET_BYTES)))
    .check(z.refine((values) => Object.keys(values).length <= MAX_SECRETS, { error: "too many secrets" }));
export const port = () => z.int().check(z.minimum(1), z.maximum(65_535));
