/** A few thousand inputs for what reads the guest; `npm run fuzz -- agent-frames` runs more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/agent-frames.ts";

test("frames, HELLOs and a whole link survive random, mutated and truncated input", async () => {
  await fuzz({ seed: 20_26, iterations: 4000 });
});
