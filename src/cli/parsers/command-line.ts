/**
 * Splits the arguments of `create`, `run` and `exec` into sbx's own and the command for the guest. Input comes from the
 * user; the words of the command are never changed, joined or reordered.
 *
 * The command begins after `--`, or with the first word that sbx does not need for itself. In the second form options
 * after it could be meant for either side (`sbx exec box ls -t`), so they are refused with the unambiguous spelling.
 */
import { quoteWord } from "../output/shell-quote.ts";
import { quoteValue, usageError } from "./usage-error.ts";

/** What the splitter must know of an option. */
export interface OptionShape {
  type: "boolean" | "option";
  char?: string | undefined;
  aliases?: string[] | undefined;
}

export interface CommandLineShape {
  /** The command's words before its arguments, for error messages, such as `sbx exec`. */
  program: string;
  options: Readonly<Record<string, OptionShape>>;
  /** How many words before the guest's command belong to sbx. */
  operands: number;
}

export interface CommandLine {
  /** Options of sbx, with their values. */
  own: string[];
  operands: string[];
  /** The guest's command, empty if none was given. */
  command: string[];
}

/**
 * Splits an argument vector.
 *
 * @throws SbxError `usage` when an option follows the first word of a command that `--` does not introduce
 */
export function splitCommandLine(argv: readonly string[], shape: CommandLineShape): CommandLine {
  const own: string[] = [];
  const operands: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? "";
    if (word === "--") {
      const rest = argv.slice(index + 1);
      operands.push(...rest.splice(0, shape.operands - operands.length));
      return { own, operands, command: rest };
    }
    if (word.startsWith("-") && word !== "-") {
      own.push(word);
      const value = argv[index + 1];
      if (takesNextWord(word, shape.options) && value !== undefined) {
        own.push(value);
        index++;
      }
    } else if (operands.length < shape.operands) {
      operands.push(word);
    } else {
      const command = argv.slice(index);
      refuseAmbiguousOptions(command, [...own, ...operands], shape);
      return { own, operands, command };
    }
  }
  return { own, operands, command: [] };
}

/** Whether the value of an option is the word after it (`--env A=1`, `-e A=1`) rather than part of it. */
function takesNextWord(word: string, options: CommandLineShape["options"]): boolean {
  if (word.startsWith("--")) {
    const name = word.slice(2);
    const option = options[name] ?? Object.values(options).find((candidate) => candidate.aliases?.includes(name));
    return option?.type === "option";
  }
  // `-qe A=1` is `-q -e A=1`: only a value option that ends the cluster takes the next word.
  for (const [position, char] of word.slice(1).split("").entries()) {
    const option = Object.values(options).find((candidate) => candidate.char === char);
    if (option?.type === "option") return position === word.length - 2;
  }
  return false;
}

function refuseAmbiguousOptions(command: readonly string[], before: readonly string[], shape: CommandLineShape): void {
  const option = command.slice(1).find((word) => word.startsWith("-") && word !== "-");
  if (option === undefined) return;
  const words = command.filter((word) => word !== "--");
  const corrected = [shape.program, ...before.map(quoteWord), "--", ...words.map(quoteWord)].join(" ");
  throw usageError(
    `${quoteValue(option)} after the command ${quoteValue(command[0] ?? "")} could be meant for sbx or for the command`,
    corrected,
  );
}

const SHELL_SYNTAX = /[\s|&;<>()$`\\"'*?]/;

/**
 * The argument vector for the guest. One single word with white space or shell syntax is a line for bash, as in the
 * reference command line (`sbx exec box "ls | wc -l"`); anything else stays the array it is.
 */
export function toGuestArgv(command: readonly [string, ...string[]]): [string, ...string[]] {
  const [first, ...rest] = command;
  return rest.length === 0 && SHELL_SYNTAX.test(first) ? ["bash", "-c", first] : [first, ...rest];
}
