/** What clients of the gateway may take of the server. Everything that they send is untrusted. */
import type { GatewayLimits } from "../../gateway/gateway.ts";

/** A sandbox's supervisor takes as many as one name may have here, for all its names. */
export const PUBLIC_LIMITS: Partial<GatewayLimits> = { strangers: 1024, guests: 8192, guestsOfTarget: 256 };
/** Between two looks whether a client that says nothing is still there, `ms`. */
export const KEEP_ALIVE_MS = 30_000;
/** A connection outlives the token behind its name by this at the most, `ms`. */
export const SWEEP_MS = 1_000;
/** Between two looks for names of sandboxes and tokens that are over, `ms`. */
export const PRUNE_MS = 60_000;
/** What answers that are under way have when the server ends, `ms`. */
export const GOODBYE_MS = 3_000;
