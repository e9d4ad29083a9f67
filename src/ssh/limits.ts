/**
 * What one sandbox's SSH door holds at most. Clients are programs of the sandbox's own user; the bounds are there so that
 * a mistake of theirs, or a stolen key, does not take the machine's memory.
 */

/** Connections at a time. */
export const MAX_CONNECTIONS = 64;
/** Channels (sessions and forwarded connections) of one connection. */
export const MAX_CHANNELS = 64;
/** Channels of all connections. With the window of each it bounds what clients can have this process hold. */
export const MAX_CHANNELS_IN_ALL = 1024;
/** From the first byte to a client that has proved who it is, `ms`. */
export const HANDSHAKE_MS = 30_000;
/** From the last that is said to the end of the socket, whatever the client does, `ms`. */
export const GOODBYE_MS = 5_000;
/** What a client sent before it closed a channel waits so long for a program that takes none of it, `ms`. */
export const LAST_WORDS_MS = 60_000;
/** Requests to authenticate on one connection. */
export const MAX_AUTH_ATTEMPTS = 20;
/** Messages that wait while the guest is asked about an account, and requests of a channel that wait for answers. */
export const MAX_WAITING_MESSAGES = 64;

/** What a client may send on a channel before the guest has taken it. */
export const WINDOW_BYTES = 256 * 1024;
/** The window is opened again when so much of it has been used. */
export const WINDOW_STEP_BYTES = WINDOW_BYTES / 4;
/** Longest data in one packet, either way. RFC 4253, 6.1: any implementation takes it. */
export const MAX_DATA_BYTES = 32 * 1024;
/** A client that takes no longer data than this is not served. */
export const MIN_DATA_BYTES = 256;
/** What waits in this process for a client's socket before nothing more is taken from the guest. */
export const UNSENT_BYTES = 512 * 1024;
/** Short messages that a client may cause before its socket takes them, and before it is hung up on. */
export const MAX_UNSENT_BYTES = 8 * 1024 * 1024;

/** Variables that a client may set for one session, and what they may hold together. */
export const MAX_VARIABLES = 256;
export const MAX_VARIABLES_BYTES = 128 * 1024;
/** Longest name of an account, path or host. */
export const MAX_NAME_BYTES = 4096;
