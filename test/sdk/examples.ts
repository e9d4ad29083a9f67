/**
 * The published documentation's examples, and the tests that run them. Numbers are those of the list that this project
 * was given of them; where a test stands for an example with something else in place of what is on the internet, it says
 * so. Titles are checked to be tests that exist.
 */

export interface Example {
  number: number;
  what: string;
  /** Files below test/, each with the beginning of a test's title. */
  tests?: readonly (readonly [file: string, title: string])[];
  /** Why no test runs it. */
  not?: string;
}

const COMMANDS = "vm/official-sdk.test.ts";
const DENO = "vm/official-sdk-deno.test.ts";
const FILES = "vm/official-sdk-files.test.ts";
const SERVICE = "vm/official-sdk-service.test.ts";
const DOORS = "vm/official-sdk-doors.test.ts";
const APPS = "vm/official-sdk-apps.test.ts";
const BOUNDARY = "boundary/official-sdk.test.ts";
const NO_CLI = "the official CLI is not in a registry that the tests use; what it asks of the SDK is tested";

export const EXAMPLES: readonly Example[] = [
  { number: 1, what: "sh`ls -lh /`", tests: [[COMMANDS, "the quick start is a whole program"]] },
  { number: 2, what: "deno.eval", tests: [[DENO, "a snippet's last value"]] },
  { number: 3, what: "sh`pwd`.text()", tests: [[COMMANDS, "shell templates run in the home"]] },
  {
    number: 4,
    what: "a web framework, installed, run and exposed",
    tests: [
      [DOORS, "a web framework's server"],
      [BOUNDARY, "packages are installed, and a program"],
    ],
  },
  { number: 5, what: "exposeSsh", tests: [[DOORS, "the credentials of SSH"]] },
  { number: 6, what: "create({ssh: true})", tests: [[DOORS, "the credentials of SSH"]] },
  { number: 7, what: "deno.repl", tests: [[DENO, "a session keeps what was declared"]] },
  { number: 8, what: "exposeVscode", tests: [["vm/code.test.ts", "exposeVscode of the official SDK"]] },
  { number: 9, what: "sh`rm ${files}`", tests: [[COMMANDS, "shell templates run in the home"]] },
  { number: 10, what: "noThrow", tests: [[COMMANDS, "a command that fails"]] },
  { number: 11, what: "SandboxCommandError", tests: [[COMMANDS, "a command that fails"]] },
  { number: 12, what: "env.set", tests: [[COMMANDS, "variables are set"]] },
  { number: 13, what: "fs.upload", tests: [[FILES, "files and trees of this machine"]] },
  { number: 14, what: "a timeout, close, connect, kill", tests: [[SERVICE, "a sandbox with a duration"]] },
  { number: 15, what: "a session", tests: [[SERVICE, "a session's sandbox ends"]] },
  { number: 16, what: "memory", tests: [[SERVICE, "options: endpoints"]] },
  { number: 17, what: "memory that is too little", tests: [[SERVICE, "errors are classes"]] },
  { number: 18, what: "allowNet", tests: [[BOUNDARY, "with a list of hosts"]] },
  { number: 19, what: "no allowNet", tests: [[BOUNDARY, "without a list"]] },
  { number: 20, what: "secrets", tests: [[BOUNDARY, "a secret is a placeholder"]] },
  { number: 21, what: "env at creation", tests: [[SERVICE, "a session's sandbox ends"]] },
  { number: 22, what: "create({port})", tests: [[DOORS, "a sandbox that is made with a port"]] },
  { number: 23, what: "a development server", tests: [[DOORS, "a sandbox that is made with a port"]] },
  { number: 24, what: "region", tests: [[SERVICE, "options: endpoints"]] },
  { number: 25, what: "labels", tests: [[SERVICE, "a sandbox with a duration"]] },
  { number: 26, what: "volumes.create", tests: [[SERVICE, "a volume keeps"]] },
  { number: 27, what: "a volume for two sandboxes", tests: [[SERVICE, "a volume keeps"]] },
  { number: 28, what: "a bootable volume", tests: [[SERVICE, "a system is set up"]] },
  {
    number: 29,
    what: "volumes.snapshot",
    tests: [
      [SERVICE, "a system is set up"],
      [SERVICE, "a volume keeps"],
    ],
  },
  {
    number: 30,
    what: "snapshots.list and delete",
    tests: [
      [SERVICE, "a system is set up"],
      [SERVICE, "a snapshot goes"],
    ],
  },
  { number: 31, what: "apps.create", tests: [[APPS, "apps are made"]] },
  { number: 32, what: "apps.list, get, update, delete", tests: [[APPS, "apps are made"]] },
  { number: 33, what: "sandbox.deploy", tests: [[APPS, "a sandbox's directory is deployed"]] },
  { number: 34, what: "apps.deploy", tests: [[APPS, "assets are deployed"]] },
  { number: 35, what: "deno.run({code})", tests: [[DENO, "inline code runs"]] },
  { number: 36, what: "httpReady and fetch", tests: [[DENO, "a server is waited for"]] },
  { number: 37, what: "CLI: create COMMAND", not: NO_CLI, tests: [[FILES, "what the official CLI does"]] },
  { number: 38, what: "CLI: create --copy", not: NO_CLI, tests: [[FILES, "what the official CLI does"]] },
  { number: 39, what: "CLI: create --volume", not: NO_CLI, tests: [[SERVICE, "a volume keeps"]] },
  { number: 40, what: "CLI: list", not: NO_CLI, tests: [[SERVICE, "a sandbox with a duration"]] },
  { number: 41, what: "CLI: extend, kill, ssh", not: NO_CLI, tests: [[SERVICE, "a sandbox with a duration"]] },
  { number: 42, what: "CLI: deploy", not: NO_CLI, tests: [[APPS, "a sandbox's directory is deployed"]] },
  { number: 43, what: "CLI: volumes and snapshots", not: NO_CLI, tests: [[SERVICE, "volumes are found"]] },
];
