/**
 * Steps of a set-up that a person watches: what is being done, that it goes on, how long it took. Everything goes to
 * stderr, stdout belongs to the command that is run in the end. Plain JavaScript that runs on Node 20.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** On a terminal the line is redrawn this often; elsewhere a line is written now and then. */
const REDRAW_MS = 200;
const REPORT_MS = 10_000;
/** Output that is shown when a step fails. */
const KEPT_LINES = 60;

const isTerminal = process.stderr.isTTY === true;

/** A failure with something for the user to do. Shown without a stack. */
export class SetupError extends Error {
  constructor(message, hint) {
    super(message);
    this.name = "SetupError";
    this.hint = hint;
  }
}

/** Writes one line for the user. */
export function say(text) {
  process.stderr.write(`sbx: ${text}\n`);
}

/**
 * Does one step of the set-up under a title; `work` receives a function that takes the newest line of output.
 * A step that mostly has nothing to do is not spoken of when it ends within `silentMs`.
 */
export async function step(title, work, { silentMs = 0 } = {}) {
  const started = Date.now();
  let latest = "";
  let announced = silentMs === 0;
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const tick = () => {
    if (isTerminal) {
      const room = Math.max(20, (process.stderr.columns ?? 80) - 1);
      process.stderr.write(`\r\x1b[K${`sbx: ${title} (${seconds()}) ${latest}`.slice(0, room)}`);
    } else {
      say(`${title}: ${seconds()} so far${latest === "" ? "" : `; ${latest}`}`);
    }
  };
  const announce = () => {
    announced = true;
    if (isTerminal) tick();
    else say(title);
  };
  if (announced) announce();
  const announcing = announced ? undefined : setTimeout(announce, silentMs);
  const timer = setInterval(() => announced && tick(), isTerminal ? REDRAW_MS : REPORT_MS);
  try {
    const result = await work((line) => {
      latest = printable(line).trim();
    });
    if (announced) finish(`${title}: done in ${seconds()}`);
    return result;
  } catch (error) {
    finish(`${title}: failed after ${seconds()}`);
    throw error;
  } finally {
    clearTimeout(announcing);
    clearInterval(timer);
  }
}

function finish(text) {
  if (isTerminal) process.stderr.write("\r\x1b[K");
  say(text);
}

/** Output of programs may hold anything; a status line must not obey it. */
function printable(text) {
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/[^\x20-\x7e\u00a0-\uffff]/g, "");
}

/**
 * Runs a program, its output kept for the case that it fails.
 *
 * @param {[string, ...string[]]} argv
 * @param {{env?: object, cwd?: string, onLine?: (line: string) => void, terminal?: boolean}} options
 *   `terminal`: it may talk to the user, as sudo does for a password
 * @returns {Promise<string>} its stdout
 * @throws SetupError with the last lines of its output
 */
export async function run(argv, { env = {}, cwd, onLine = () => {}, terminal = false } = {}) {
  const child = spawn(argv[0], argv.slice(1), {
    cwd,
    env: { ...process.env, ...env },
    stdio: [terminal ? "inherit" : "ignore", "pipe", "pipe"],
  });
  const kept = [];
  const out = [];
  const read = async (stream, lines) => {
    for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
      onLine(line);
      lines?.push(line);
      kept.push(line);
      if (kept.length > KEPT_LINES) kept.shift();
    }
  };
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? signal));
  });
  const failure = await Promise.all([ended, read(child.stdout, out), read(child.stderr)]).then(
    ([status]) => (status === 0 ? undefined : `ended with ${status}`),
    (error) => error.message,
  );
  if (failure === undefined) return out.join("\n");
  throw new SetupError(`${argv.join(" ")}: ${failure}${kept.length > 0 ? `\n${kept.join("\n")}` : ""}`);
}

/**
 * Runs a program that talks to the user itself. Returns its exit status.
 *
 * @param {{quiet?: boolean}} options `quiet`: its stdout is kept, and shown on stderr only if it fails
 */
export async function hand(argv, { quiet = false } = {}) {
  const child = spawn(argv[0], argv.slice(1), { stdio: quiet ? ["ignore", "pipe", 2] : "inherit" });
  const kept = [];
  child.stdout?.on("data", (chunk) => kept.push(chunk));
  const forward = (signal) => child.kill(signal);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  // A terminal sends Ctrl-C to the child as well; this process stays to pass its exit status on.
  for (const signal of signals) process.on(signal, forward);
  try {
    const status = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(code ?? 128 + (SIGNAL_NUMBERS[signal] ?? 1)));
    });
    if (status !== 0) process.stderr.write(Buffer.concat(kept));
    return status;
  } finally {
    for (const signal of signals) process.off(signal, forward);
  }
}

const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGTERM: 15 };

/** Runs a script's main function; what goes wrong is told without a stack where the user can do something about it. */
export async function main(work) {
  try {
    process.exitCode = await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`sbx: ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`  try: ${error.hint}\n`);
    process.exitCode = 1;
  }
}
