/** A few thousand inputs for what reads a guest's ClientHello; `npm run fuzz -- client-hello` runs more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/client-hello.ts";

test("hellos survive random, mutated and truncated input, however they are cut", async () => {
  await fuzz({ seed: 20_26, iterations: 5000 });
});
