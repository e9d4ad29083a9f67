/** Some files of the fuzzer with every run of the tests; `npm run fuzz` goes on from there. */
import { test } from "node:test";
import { fuzz } from "../../../fuzz/disk-files.ts";

test("a thousand disk files are read as what they are, or refused", async () => {
  await fuzz({ seed: 1, iterations: 1000 });
});
