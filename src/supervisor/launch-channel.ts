/** The supervisor's end of its start: reads the launch, answers, and notices when the launcher dies before its commit. */
import { createWriteStream, readSync, type WriteStream } from "node:fs";
import { Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";
import {
  ANSWER_FD,
  COMMIT_LINE,
  LAUNCH_VERSION,
  MAX_LINE_BYTES,
  type Launch,
  type LaunchAnswer,
} from "../protocol/launch.ts";
import { SbxError } from "../runtime/errors.ts";

const INPUT_FD = 0;

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // Not JSON: refused by the caller.
  }
}

export class LaunchChannel {
  readonly #answers: WriteStream;
  readonly #lines: string[] = [];
  #input: Socket | undefined;
  #buffer = "";
  #ended = false;
  #wake: (() => void) | undefined;

  constructor() {
    // The launcher may be gone when an answer is due; that shows at the input.
    this.#answers = createWriteStream("", { fd: ANSWER_FD });
    this.#answers.on("error", () => undefined);
  }

  /** @throws SbxError `internal` for anything but a launch of this version */
  readLaunch(): Launch {
    const line = this.#firstLine();
    if (line === undefined) throw new SbxError("internal", "the supervisor was started without a launch");
    const launch = parseObject(line);
    if (launch === undefined)
      throw new SbxError("internal", "the supervisor was started with something that is no launch");
    if (launch.version !== LAUNCH_VERSION) {
      throw new SbxError("internal", `the launch has version ${String(launch.version)}, not ${LAUNCH_VERSION}`, {
        hint: "sbx was updated in this moment: run the command again",
      });
    }
    if (launch.kind !== "sandbox" && launch.kind !== "template") {
      throw new SbxError("internal", `there is no launch of the kind ${JSON.stringify(launch.kind)}`);
    }
    return launch as unknown as Launch;
  }

  /** The launch is there already or comes at once, and there is nothing else to do: no stream needs to be set up. */
  #firstLine(): string | undefined {
    const chunk = Buffer.alloc(64 * 1024);
    const decoder = new StringDecoder("utf8");
    while (this.#lines.length === 0 && !this.#ended) {
      const length = readSync(INPUT_FD, chunk);
      if (length === 0) this.#end();
      else this.#receive(decoder.write(chunk.subarray(0, length)));
    }
    return this.#lines.shift();
  }

  /** From here on the launcher's end is noticed. */
  #listen(): Socket {
    const input = new Socket({ fd: INPUT_FD, readable: true, writable: false });
    input.setEncoding("utf8");
    input.on("data", (chunk: string) => this.#receive(chunk));
    input.on("end", () => this.#end());
    input.on("error", () => this.#end());
    return input;
  }

  /** True when the launcher has taken over the sandbox, false when it is gone. */
  async waitForCommit(): Promise<boolean> {
    return (await this.#nextLine()) === COMMIT_LINE;
  }

  answer(answer: LaunchAnswer): void {
    this.#answers.write(`${JSON.stringify(answer)}\n`);
  }

  /** Closes both directions, so that nothing keeps the launcher waiting or this process alive. */
  async close(): Promise<void> {
    this.#input?.destroy();
    await new Promise<void>((resolve) => this.#answers.end(resolve));
  }

  #receive(chunk: string): void {
    this.#buffer += chunk;
    if (this.#buffer.length > MAX_LINE_BYTES) {
      this.#end();
      return;
    }
    const parts = this.#buffer.split("\n");
    this.#buffer = parts.pop() ?? "";
    this.#lines.push(...parts);
    this.#wake?.();
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async #nextLine(): Promise<string | undefined> {
    this.#input ??= this.#listen();
    while (this.#lines.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#lines.shift();
  }
}
