/**
 * What the commands share that call a runtime: it is this machine's or a control plane's, as the context says that is in
 * use. A command parses, calls the runtime and prints.
 */
import type { Input, ParserOutput } from "@oclif/core/interfaces";
import { targetOf, type ChosenContext } from "../runtime/contexts/choose-context.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { contextNotice, findContext } from "./contexts/find-context.ts";
import { contextFlag } from "./flags/common.ts";
import { PlainCommand } from "./plain-command.ts";

interface GlobalValues {
  json?: boolean | undefined;
  quiet?: boolean | undefined;
  context?: string | undefined;
}

/** As oclif has it, which does not export its name. */
type Values = Record<string, unknown>;

export abstract class SbxCommand extends PlainCommand {
  static override baseFlags = { ...PlainCommand.baseFlags, context: contextFlag };

  #given: GlobalValues = {};
  #chosen: Promise<ChosenContext> | undefined;

  protected override async parse<F extends Values, B extends Values, A extends Values>(
    options?: Input<F, B, A>,
    argv?: string[],
  ): Promise<ParserOutput<F, B, A>> {
    const parsed = await super.parse<F, B, A>(options, argv);
    this.#given = parsed.flags;
    return parsed;
  }

  /** What the user has named: a context, or an address. */
  protected get namedContext(): string | undefined {
    return this.#given.context;
  }

  /** The context in use. */
  protected get chosenContext(): Promise<ChosenContext> {
    return (this.#chosen ??= findContext(this.context.env, this.namedContext));
  }

  /** What a person is told of a context that is not this machine; nothing where the output is somebody else's. */
  protected describeContext(chosen: ChosenContext): string | undefined {
    return contextNotice(chosen);
  }

  /** Opens the runtime of the context. @throws SbxError what is wrong with the context, or why it cannot be opened */
  protected async openRuntime(): Promise<Runtime> {
    const chosen = await this.chosenContext;
    const { json, quiet } = this.#given;
    const hasReader = this.context.stderr.isTTY === true && json !== true && quiet !== true;
    const told = hasReader && chosen.endpoints !== null ? this.describeContext(chosen) : undefined;
    if (told !== undefined) this.notice(told);
    return this.context.openRuntime(this.loadedSettings.settings, targetOf(chosen));
  }
}
