/** A short run of the fuzzer of what strangers say over SSH; longer ones: `npm run fuzz -- ssh-login`. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/ssh-login.ts";

test("whatever a stranger says, the server neither throws nor holds on, and lets nobody in", async () => {
  await fuzz({ seed: 1, iterations: 500 });
});
