/**
 * `npm start`: from a fresh clone to a command that has run in a microVM. `npm start -- CMD…` runs that command and
 * ends with its exit status; its stdout is the command's alone. Plain JavaScript that runs on Node 20.
 */
import { SBX, prepareMachine, prepareProject } from "./setup-project.mjs";
import { prepareSystem } from "./setup-system.mjs";
import { hand, main, say } from "./steps.mjs";

/** What runs when no command is given: something that only a machine of its own can say. */
const FIRST_COMMAND = [
  "sh",
  "-c",
  'echo "Hello from $(hostname): Linux $(uname -r), $(nproc) processors, up $(cut -d. -f1 /proc/uptime) s, user $(id -un)"',
];

const NEXT = `
It works. What to try next:

  npm start -- python3 -c 'print(6*7)'     another command, in a sandbox of its own
  bin/run.js create                        a shell in a new sandbox
  bin/run.js --help                        all that there is; \`npm link\` makes it \`sbx\` everywhere
`;

await main(async () => {
  const command = process.argv.slice(2);
  await prepareSystem();
  await prepareProject();
  await prepareMachine();
  if (command.length > 0) return await hand([...SBX, "run", "--", ...command]);
  say("running a first command in a microVM of its own");
  const first = await hand([...SBX, "run", "--", ...FIRST_COMMAND]);
  if (first === 0) process.stderr.write(NEXT);
  return first;
});
