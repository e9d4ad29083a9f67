/** `sbx top` on a terminal: the tables, drawn in place, until a key or a signal ends it. */
import type { Runtime } from "../../runtime/runtime.ts";
import type { CommandContext } from "../context.ts";
import type { Interrupt } from "../interrupt.ts";
import type { Palette } from "../output/palette.ts";
import { usageTables } from "../view/usage-view.ts";
import { LiveScreen } from "./live-screen.ts";
import { compareUsage, type SortKey } from "./usage-rates.ts";
import { watchUsage, type Measurement, type WatchUsageOptions } from "./watch-usage.ts";

const SORTS: Readonly<Record<string, SortKey>> = { c: "cpu", m: "memory", n: "name" };
/** q, Ctrl-C, Ctrl-D: what people try. */
const LEAVE_KEYS: readonly string[] = ["q", "\u0003", "\u0004"];
const DEFAULT_COLUMNS = 80;

export interface ShowLiveOptions {
  context: Pick<CommandContext, "stdin" | "stdout" | "signals" | "now">;
  interrupt: Interrupt;
  palette: Palette;
  sort: SortKey;
}

export async function showLive(
  runtime: Runtime,
  query: Omit<WatchUsageOptions, "showsFirst">,
  options: ShowLiveOptions,
): Promise<void> {
  const { context, interrupt } = options;
  const left = new AbortController();
  const signal = AbortSignal.any([interrupt.signal, left.signal]);
  let { sort } = options;
  let latest: Measurement | undefined;
  const redraw = (): void => {
    if (latest !== undefined) screen.draw(render(latest, sort, options));
  };
  using screen = new LiveScreen({
    ...{ stdin: context.stdin, stdout: context.stdout, signals: context.signals, onRedraw: redraw },
    onKey: (key) => {
      if (LEAVE_KEYS.includes(key)) left.abort();
      sort = SORTS[key] ?? sort;
      redraw();
    },
  });
  for await (latest of watchUsage(runtime, { ...query, signal, showsFirst: true })) redraw();
  // Ctrl-C is a key here; from elsewhere it is as good as one.
  if (interrupt.received !== "SIGINT") interrupt.signal.throwIfAborted();
}

function render({ before, now }: Measurement, sort: SortKey, { context, palette }: ShowLiveOptions): string {
  const width = context.stdout.columns ?? DEFAULT_COLUMNS;
  const time = new Date(context.now()).toTimeString().slice(0, 8);
  const count = now.length === 1 ? "1 sandbox" : `${now.length} sandboxes`;
  const head = `${time}  ${count}  by ${sort} (c, m, n), q ends`;
  const body = now.length === 0 ? "nothing runs; sbx create makes a sandbox" : tables();
  return `${palette.dim(head.slice(0, width))}\n${body}`;

  function tables(): string {
    return usageTables(compareUsage(before, now, sort), { palette, width });
  }
}
