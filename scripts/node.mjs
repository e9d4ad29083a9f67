/**
 * Runs its arguments on a Node that is recent enough: `node scripts/node.mjs SCRIPT ARGS…`.
 * It runs on older versions itself, so that `npm run` works with whatever Node is on PATH.
 */
import { findBundledNode, isNodeRecentEnough, runOn, tooOldMessage } from "../bin/launcher.js";

const args = process.argv.slice(2);
const node = isNodeRecentEnough(process.versions.node) ? process.execPath : findBundledNode()?.path;
if (node === undefined) {
  process.stderr.write(tooOldMessage());
  process.exitCode = 1;
} else {
  await runOn(node, args);
}
