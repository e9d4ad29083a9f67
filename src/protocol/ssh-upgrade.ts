/** How an SSH connection is opened at a supervisor's socket: an HTTP upgrade (docs/protocol-supervisor.md). */

export const SSH_TARGET = "/sbx/v1/ssh";
export const SSH_UPGRADE = "sbx-ssh";
/** For a client whose transport ends at whoever asks: its messages follow, in frames (src/ssh/framed-link.ts). */
export const SSH_MESSAGES_UPGRADE = "sbx-ssh-messages";
/** Of the request: the public key that the client has to have, as in a line of `authorized_keys`. */
export const SSH_KEY_HEADER = "x-sbx-ssh-key";
/** Such a key: an Ed25519 key's blob has 51 bytes (RFC 8709). */
export const SSH_PUBLIC_KEY = /^ssh-ed25519 [A-Za-z0-9+/]{68}$/;
/** Of the request: `client` where the server has to wait for the client's first byte. */
export const SSH_FIRST_HEADER = "x-sbx-ssh-first";
/** Of the answer: the server's public key, of the same form. */
export const SSH_HOST_KEY_HEADER = "x-sbx-ssh-host-key";
