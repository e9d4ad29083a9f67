/** Stands in for a supervisor: adopts the machine that was started with it and reports what it sees, a line each. */
import { readdirSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { adoptMachine } from "../../../src/vm/prestarted-machine.ts";

const say = (key, value) => process.stdout.write(`${JSON.stringify([key, value])}\n`);
const vm = adoptMachine();
if (vm === undefined) {
  say("machine", "none");
  process.exit();
}
say("pid", vm.pid);
say("variable", process.env.SBX_VM_PID ?? null);
let console = "";
vm.consoleOutput.on("data", (chunk) => (console += String(chunk)));
let errors = "";
vm.errorOutput.on("data", (chunk) => (errors += String(chunk)));
let agent = "";
vm.agentSocket.on("data", (chunk) => {
  agent += String(chunk);
  if (!agent.endsWith("\n")) return;
  say("inherited", spawnSync("ls", ["/proc/self/fd"], { encoding: "utf8" }).stdout.trim().split("\n"));
  vm.agentSocket.write("bye\n");
});
if (process.argv[2] === "stop") await vm.stop();
const exit = await vm.exited;
say("streams", { console, errors, agent });
say("exit", exit);
say("own", readdirSync("/proc/self/fd").length > 0);
process.exit();
