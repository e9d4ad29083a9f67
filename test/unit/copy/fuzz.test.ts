/** Some streams of the fuzzer with every run of the tests; `npm run fuzz` goes on from there. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/copy-stream.ts";

test("fifteen hundred hostile streams change nothing outside of their destination and leave nothing incomplete", async () => {
  await fuzz({ seed: 1, iterations: 1500 });
});
