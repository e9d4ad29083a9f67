/** A connection to a sandbox's RPC that somebody else speaks on: what a control plane hands its clients' bytes to. */

/**
 * The fields of a WebSocket's opening handshake (RFC 6455, section 4.1) that are sent on: their names in lower case, and
 * values without line breaks. Others are refused.
 */
export type RpcHandshake = readonly (readonly [name: string, value: string])[];

/** Fields of a handshake that a sandbox may be sent. Not the one that makes a connection a session's owner. */
export const HANDSHAKE_FIELD = /^(?:sec-websocket-(?:key|version|extensions|protocol)|x-sbx-extensions|user-agent)$/;
