/** Numbers of the DNS, from IANA's registry of its parameters. */

export const DNS_TYPE = {
  A: 1,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

export const DNS_CLASS = { IN: 1, CHAOS: 3, ANY: 255 } as const;

export const RCODE = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
  /** Of EDNS: the upper bits are in the OPT record. */
  badVersion: 16,
} as const;

export const FLAG = {
  response: 0x8000,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
} as const;

export const OPCODE_MASK = 0x7800;

/** The EDNS option that carries an extended error. */
export const EXTENDED_ERROR_OPTION = 15;

export const EXTENDED_ERROR = {
  other: 0,
  /**
   * The operator's policy forbids the name. Filtered (17) would say that the client asked for that, and Prohibited (18)
   * that this client may not ask at all.
   */
  blocked: 15,
} as const;
