/**
 * What the configuration of a new sandbox has beyond the published one, under its key `sbx`. A server that knows it takes
 * it as it is written and refuses what it does not know; others ignore it, so it is sent to none of them.
 */
import * as z from "zod/mini";
import { port, ref, secretValues } from "./control-schema.ts";
import { MAX_ATTACHED_VOLUMES } from "./disk-calls.ts";
import { LEAK_ACTIONS } from "./net-launch.ts";

export const CONFIG_KEY = "sbx";
/** Longest configuration as it is sent, `bytes`: the fields of a request have 256 KiB together. */
export const MAX_CONFIG_BYTES = 240 * 1024;
/** Rules of one configuration. */
const MAX_CONFIG_RULES = 1000;
const MAX_RESOLVE = 100;

/** A rule, its host and ports as `--allow-net` writes them. */
const rule = () =>
  z.strictObject({
    verdict: z.enum(["allow", "deny"]),
    pattern: z.string().check(z.minLength(1), z.maxLength(1024)),
    methods: z.nullable(z.array(z.string().check(z.regex(/^[A-Z][A-Z0-9-]{0,31}$/))).check(z.maxLength(64))),
    paths: z.nullable(z.array(z.string().check(z.minLength(1), z.maxLength(1024))).check(z.maxLength(64))),
  });

const network = () =>
  z.strictObject({
    mode: z.enum(["none", "balanced", "open"]),
    rules: z.array(rule()).check(z.maxLength(MAX_CONFIG_RULES)),
    onLeak: z.enum(LEAK_ACTIONS),
    inspect: z.boolean(),
    resolve: z
      .array(
        z.strictObject({
          host: z.string().check(z.minLength(1), z.maxLength(253)),
          port: port(),
          address: z.string().check(z.minLength(2), z.maxLength(64)),
        }),
      )
      .check(z.maxLength(MAX_RESOLVE)),
    /** Certificates in PEM that upstreams are verified with, besides the server's own. */
    roots: z.array(z.string().check(z.maxLength(MAX_CONFIG_BYTES))).check(z.maxLength(MAX_RESOLVE)),
  });

const amount = () => z.number().check(z.nonnegative(), z.maximum(1e12));

const budget = () =>
  z
    .array(
      z.discriminatedUnion("kind", [
        z.strictObject({ kind: z.literal("cpu"), ms: amount() }),
        z.strictObject({
          ...{ kind: z.literal("cost"), dollars: amount() },
          rates: z.strictObject({
            ...{ cpuHour: amount(), memoryGbHour: amount(), storageGibMonth: amount() },
            ...{ sentGb: amount(), receivedGb: amount() },
          }),
        }),
      ]),
    )
    .check(z.maxLength(8));

/** In place of the published `allow_net`, `volumes` and `stop_at_ms`, where it has them. */
export const configExtension = () =>
  z.strictObject({
    name: z.optional(z.string().check(z.minLength(1), z.maxLength(63))),
    image: z.optional(ref()),
    checkpoint: z.optional(ref()),
    root: z.optional(ref()),
    cpus: z.optional(z.int().check(z.minimum(1), z.maximum(256))),
    diskBytes: z.optional(z.int().check(z.minimum(1), z.maximum(2 ** 52))),
    /** From when the server has it ready; the clocks of client and server may differ. Absent for a session. */
    lifetimeMs: z.optional(z.number().check(z.positive(), z.maximum(2 ** 48))),
    volumes: z.optional(
      z
        .array(
          z.strictObject({
            volume: ref(),
            path: z.string().check(z.minLength(1), z.maxLength(4096)),
            access: z.enum(["read-write", "read-only"]),
          }),
        )
        .check(z.maxLength(MAX_ATTACHED_VOLUMES)),
    ),
    network: z.optional(network()),
    budget: z.optional(budget()),
    /** Of the secrets that a checkpoint has; others are in the published part. */
    secretValues: z.optional(secretValues()),
  });
export type ConfigExtension = z.output<ReturnType<typeof configExtension>>;
export type NetworkExtension = z.output<ReturnType<typeof network>>;
