/** Some inputs for what looks for secrets; `npm run fuzz -- secrets` runs more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/secrets.ts";

test("heads and bodies survive random, mutated and cut input, and no value gets where it may not", async () => {
  await fuzz({ seed: 20_26, iterations: 600 });
});
