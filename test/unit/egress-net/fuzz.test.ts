/** A few thousand inputs for the network stack; `npm run fuzz -- net-frames` runs more. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/net-frames.ts";

test("the network stack survives random, mutated and replayed frames, and serves afterwards", async () => {
  await fuzz({ seed: 20_26, iterations: 2000 });
});
