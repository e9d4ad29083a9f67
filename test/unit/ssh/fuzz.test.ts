/** A short run of the SSH door's fuzzer; longer ones: `npm run fuzz -- ssh-server`. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/ssh-server.ts";

test("whatever a client sends, the door neither throws nor holds on to it", async () => {
  await fuzz({ seed: 1, iterations: 500 });
});
