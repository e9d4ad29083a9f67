/** What SSH clients may take of the server. Everything that they send is untrusted. */

/** Connections at one time. */
export const MAX_CONNECTIONS = 1024;
/** Of them such as have not said yet who they are; one more, and the one that has waited longest goes. */
export const MAX_STRANGERS = 128;
/** Connections with one user name. The sandbox has a limit of its own (docs/ssh.md). */
export const MAX_CONNECTIONS_OF_CREDENTIAL = 32;
/** User names of one sandbox. */
export const MAX_CREDENTIALS_OF_SANDBOX = 32;
/** From a connection to a user name that holds, `ms`. */
export const LOGIN_MS = 20_000;
/** What a client sends until then, `bytes`: with nothing of its own a stranger could have keys exchanged again and again. */
export const MAX_LOGIN_BYTES = 64 * 1024;
/** From a user name to its refusal, `ms`. */
export const REFUSAL_MS = 1_000;
/** Between two looks whether a client that says nothing is still there, `ms`. */
export const KEEP_ALIVE_MS = 30_000;
/** A connection outlives the token behind it, and a name that is taken back, by this at the most, `ms`. */
export const SWEEP_MS = 1_000;
/** Between two looks for names of sandboxes that are over, `ms`. */
export const PRUNE_MS = 60_000;
/** What clients have to hear the server's last words, `ms`. */
export const GOODBYE_MS = 2_000;
