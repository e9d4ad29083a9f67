/** A few thousand messages for the guest's resolver; `npm run fuzz -- dns` runs more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/dns.ts";

test("lookups survive random, mutated and truncated messages, as datagrams and as streams in pieces", async () => {
  await fuzz({ seed: 20_26, iterations: 4000 });
});
