/**
 * What the door agrees to: one of each kind, all of them without a known weakness. Ciphers that need no message
 * authentication code of their own are the only ones; the codes are for clients that insist on one being named.
 * `aes128-gcm` goes first: it is the faster one (docs/ssh.md). Strict key exchange is added by ssh2.
 */
const DIRECTION = {
  cipher: ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"],
  mac: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"],
  compress: ["none"],
  lang: [],
};

export const ALGORITHMS = {
  kex: ["curve25519-sha256", "curve25519-sha256@libssh.org"],
  serverHostKey: ["ssh-ed25519"],
  cs: DIRECTION,
  sc: DIRECTION,
};
