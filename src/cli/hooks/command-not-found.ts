/** oclif's hook for a command that does not exist: says which one was probably meant. */
import type { Hook } from "@oclif/core/hooks";
import { commandNames } from "../command-names.ts";
import { unknownCommand } from "../errors/unknown-command.ts";

const hook: Hook.CommandNotFound = async function ({ id, config }) {
  throw unknownCommand(id.split(":"), commandNames(config));
};

export default hook;
