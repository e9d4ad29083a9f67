/** The names that sbx's commands go by. */

export interface CommandTable {
  readonly commands: readonly { id: string; hidden?: boolean | undefined; aliases?: readonly string[] | undefined }[];
}

/** All names and aliases of commands that are not hidden, their words separated by a space. */
export function commandNames(table: CommandTable): string[] {
  const names = table.commands
    .filter(({ hidden }) => hidden !== true)
    .flatMap(({ id, aliases }) => [id, ...(aliases ?? [])])
    .map((name) => name.replaceAll(":", " "));
  return [...new Set(names)];
}
