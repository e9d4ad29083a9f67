/** Ways to end an HTTP/2 stream that Node 26 gets right. */
import { constants, type Http2Stream } from "node:http2";

/** How often it is looked whether a response has left, `ms`. */
const LOOK_AGAIN_MS = 50;

/**
 * RST_STREAM, so that what was written does not look complete. `close(code)` will not do: it ends the stream first, and
 * the END_STREAM leaves before the RST_STREAM; with CANCEL, while frames are being read, it trips over an assertion of
 * Node's that ends the process (nodejs/node#41458).
 */
export function breakOff(stream: Http2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error("broken off"));
}

/**
 * After a whole response: the peer is told that nobody wants the rest of its body (RFC 9113, 8.1). A RST_STREAM overtakes
 * what is still waiting to leave, so it waits until END_STREAM has.
 */
export function refuseRest(stream: Http2Stream): void {
  if (stream.destroyed || stream.closed || stream.readableEnded) return;
  stream.resume();
  if (stream.state.localClose === 1) stream.close(constants.NGHTTP2_NO_ERROR);
  else setTimeout(refuseRest, LOOK_AGAIN_MS, stream).unref();
}
