/** The values of the options in flags/network.ts, as they were written. */
export interface NetworkFlagValues {
  "allow-net"?: string[] | undefined;
  "deny-net"?: string[] | undefined;
  net?: "none" | "balanced" | "open" | undefined;
  "net-file"?: string | undefined;
  rule?: string[] | undefined;
  secret?: string[] | undefined;
  hook?: string | undefined;
  inspect?: boolean | undefined;
  "on-leak"?: "block" | "report" | "pass" | undefined;
  resolve?: string[] | undefined;
  "ca-file"?: string[] | undefined;
}

export interface NetworkPlace {
  /** Where relative paths begin. */
  cwd: string;
  /** Variables that the sandbox gets by other options. */
  variables: Readonly<Record<string, string>>;
}
