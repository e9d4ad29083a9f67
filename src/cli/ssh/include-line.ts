/**
 * The one line in the user's ~/.ssh/config that reads sbx's. Pure: texts in, texts out, with a character for each byte.
 * Everything else stays as it is.
 */

const COMMENT = "# Names of sandboxes, such as web.sbx (sbx ssh-config --remove takes these two lines away)";

/** Whether it is there, and goes for all hosts: before the first `Host` or `Match`. */
export function hasInclude(config: string, configPath: string): boolean {
  for (const line of config.split("\n")) {
    if (line.trim() === includeLine(configPath)) return true;
    if (/^\s*(?:host|match)\b/i.test(line)) return false;
  }
  return false;
}

/** With the line at the top: for each option the first value that ssh finds holds. */
export function addInclude(config: string, configPath: string): string {
  if (hasInclude(config, configPath)) return config;
  const rest = removeInclude(config, configPath);
  return `${COMMENT}\n${includeLine(configPath)}\n${rest === "" ? "" : `\n${rest}`}`;
}

/** Without the line, its comment and the empty line behind them. */
export function removeInclude(config: string, configPath: string): string {
  const lines = config.split("\n");
  const kept: string[] = [];
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? "";
    const next = lines[index + 1] ?? "";
    if (line === COMMENT && next.trim() === includeLine(configPath)) continue;
    if (line.trim() !== includeLine(configPath)) kept.push(line);
    else if (next === "" && index + 2 < lines.length) index++;
  }
  return kept.join("\n");
}

/** The path is a pattern there (glob(7)). */
function includeLine(configPath: string): string {
  return Buffer.from(`Include "${configPath.replaceAll(/[[*?]/g, "\\$&")}"`).toString("latin1");
}
