#!/usr/bin/env -S node --
/** Runs the sources as they are, without a build; for work on sbx itself. About the `--` see run.js. */
import { fileURLToPath } from "node:url";
import { isNodeRecentEnough, rerunOnRecentNode } from "./launcher.js";

const args = process.argv.slice(2);
if (isNodeRecentEnough(process.versions.node)) {
  const { main } = await import(new URL("../src/cli/main.ts", import.meta.url).href);
  await main(args, { root: fileURLToPath(new URL("..", import.meta.url)) });
} else {
  await rerunOnRecentNode(fileURLToPath(import.meta.url), args);
}
