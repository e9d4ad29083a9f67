/**
 * What a copy of a running machine has to know of the network that its guest remembers: the guest goes on in the middle
 * of everything, before another gateway.
 */
import * as z from "zod/mini";

/** Connections of one guest (src/egress/net/limits.ts has fewer at a time). */
const MAX_CONNECTIONS = 65_536;
const MAX_NAMES = 65_536;
/** Of all generations of a copy's ancestors together. */
export const MAX_FORMER_PLACEHOLDERS = 4096;

const port = () => z.int().check(z.minimum(1), z.maximum(65_535));

/** A TCP connection of the guest's. */
const connection = () => z.object({ address: z.string().check(z.maxLength(64)), port: port(), guestPort: port() });
export type ConnectionRecord = z.output<ReturnType<typeof connection>>;

/** A placeholder that stands in the memory of a guest that is a copy, and is worth nothing there. */
const formerPlaceholder = () =>
  z.object({ secret: z.string().check(z.maxLength(256)), placeholder: z.string().check(z.maxLength(256)) });
export type FormerPlaceholder = z.output<ReturnType<typeof formerPlaceholder>>;

export const networkPast = () =>
  z.object({
    connections: z.array(connection()).check(z.maxLength(MAX_CONNECTIONS)),
    /** Names that have an address, in the order of the addresses (src/egress/dns/synthetic-names.ts). */
    names: z.array(z.string().check(z.maxLength(255))).check(z.maxLength(MAX_NAMES)),
    placeholders: z.array(formerPlaceholder()).check(z.maxLength(MAX_FORMER_PLACEHOLDERS)),
  });
export type NetworkPast = z.output<ReturnType<typeof networkPast>>;

export const NO_PAST: NetworkPast = { connections: [], names: [], placeholders: [] };
