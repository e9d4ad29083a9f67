import { test } from "node:test";
import { fuzz } from "../../../fuzz/folder-requests.ts";

test("a guest's kernel that says anything, to a directory that changes, reaches nothing outside of it", async () => {
  await fuzz({ seed: 1, iterations: 6000 });
});
