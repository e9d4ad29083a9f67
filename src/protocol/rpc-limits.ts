/** Sizes that both ends of the sandbox RPC hold each other to. Bytes unless the name says otherwise. */

/** Largest message a server takes: the SDK sends a whole file's base64 in one message. */
export const MAX_SERVER_MESSAGE_BYTES = 128 * 1024 * 1024;
/** Largest message sbx's own client takes; bulk data comes in streams, so replies are small. */
export const MAX_CLIENT_MESSAGE_BYTES = 32 * 1024 * 1024;
/** Largest message that the SDK's `ws` accepts (it answers a bigger one with close code 1009). */
export const MAX_SDK_MESSAGE_BYTES = 100 * 1024 * 1024;

/** Raw bytes in one `$sandbox.stream.enqueue`, before base64. */
export const PLAIN_CHUNK_BYTES = 64 * 1024;
/** Raw bytes in one binary stream frame (extension). */
export const BINARY_CHUNK_BYTES = 256 * 1024;
/** What a producer of a stream may send before the first credit (extension). */
export const STREAM_WINDOW_BYTES = 1024 * 1024;
/**
 * The same for a terminal's output, where the client asks for it: whoever presses Ctrl-C sees all that is under way. The
 * client gives credit in steps of a quarter of the window.
 */
export const TERMINAL_WINDOW_BYTES = 64 * 1024;
/** Bytes that may wait for a stream id that no call has named yet, a connection. */
export const UNCLAIMED_STREAM_BYTES = 4 * 1024 * 1024;
/** Stream ids that no call has named yet, a connection. */
export const UNCLAIMED_STREAMS = 256;

/** Greatest stream id: binary frames carry 48 bits. */
export const MAX_STREAM_ID = 2 ** 48 - 1;

/** Longest path in a call, UTF-16 units. The kernel's own limit (4,096 bytes) answers with ENAMETOOLONG first. */
export const MAX_PATH_CHARS = 16_384;
/** Longest of any other single text (a name, a variable, an argument), UTF-16 units. */
export const MAX_TEXT_CHARS = 2 * 1024 * 1024;
/** Most elements of a list or record in a call (arguments, variables, headers). */
export const MAX_LIST_ITEMS = 65_536;
/** Interval of the client's text `ping`, `ms`. */
export const HEARTBEAT_MS = 2_000;
