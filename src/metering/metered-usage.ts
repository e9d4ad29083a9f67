/** What one thing has used in a span of time. */
import type { Amounts } from "./amounts.ts";

export interface MeteredUsage {
  kind: "sandbox" | "volume" | "snapshot";
  id: string;
  name: string | null;
  labels: Readonly<Record<string, string>>;
  /** The application that it is an instance of. */
  app: string | null;
  /** When its bucket (an hour, a day) begins, epoch `ms`; the beginning of the whole span where there is one for all. */
  bucket: number;
  amounts: Amounts;
}
