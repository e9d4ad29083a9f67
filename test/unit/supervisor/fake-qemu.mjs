/**
 * Stands in for QEMU: a monitor on descriptor 3 that agrees to everything, and the real agent, in its development mode,
 * behind descriptor 4. The first argument says how it fails, the second where the agent is.
 */
import { spawn } from "node:child_process";
import { Socket } from "node:net";

const [mode, agent] = process.argv.slice(2);

if (mode === "dies") {
  process.stderr.write("qemu-system: could not open the disk\n");
  process.exit(1);
}
if (mode === "panics") process.stdout.write("[    0.1] Kernel panic - not syncing: no init\r\n");

const monitor = new Socket({ fd: 3 });
monitor.write('{"QMP": {"version": {}, "capabilities": []}}\n');
let rest = "";
monitor.setEncoding("utf8").on("data", (text) => {
  const lines = (rest + text).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) monitor.write(`${JSON.stringify({ return: {}, id: JSON.parse(line).id })}\n`);
});
monitor.on("close", () => process.exit(0));
monitor.on("error", () => process.exit(0));
if (mode === "panics") setTimeout(() => process.exit(0), 50);
if (mode === "ok") {
  spawn(agent, ["--dev", "--fd", "3"], { stdio: ["ignore", "ignore", "ignore", 4] });
}
