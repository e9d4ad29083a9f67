/**
 * Tables that fit the terminal. Cells may hold anything a user or a guest chose: every cell is escaped here, so that no
 * caller can forget it.
 *
 * Without a width (output to a file or a pipe) nothing is cut. With one, columns that allow it shrink, the widest first;
 * where that is not enough, each row becomes a small block of `NAME value` lines.
 */
import { displayWidth, pad, truncate } from "./display-width.ts";
import { escapeLine } from "./escape.ts";
import { PLAIN, type Palette } from "./palette.ts";

export interface Column {
  title: string;
  /** The column may be cut to this many characters; columns without it keep their width. */
  minWidth?: number;
  /** Colour of a cell, by its text. */
  paint?: (palette: Palette, cell: string) => string;
}

export interface TableOptions {
  /** Columns of the terminal; absent when the output is none. */
  width?: number | undefined;
  palette?: Palette;
}

const GAP = "  ";

/** Lays out the rows under their titles; without a line break at the end. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const palette = options.palette ?? PLAIN;
  const cells = rows.map((row) => columns.map((_, index) => escapeLine(row[index] ?? "")));
  const widths = columns.map((column, index) =>
    Math.max(displayWidth(column.title), ...cells.map((row) => displayWidth(row[index] ?? ""))),
  );
  const fitted = options.width === undefined ? widths : shrink(columns, widths, options.width);
  if (fitted === undefined) return renderBlocks(columns, cells, palette);
  const titles = columns.map((column, index) => palette.strong(pad(column.title, fitted[index] ?? 0)));
  const lines = cells.map((row) =>
    columns.map((column, index) => {
      const cell = row[index] ?? "";
      const text = pad(truncate(cell, Math.max(1, fitted[index] ?? 1)), fitted[index] ?? 0);
      return column.paint === undefined ? text : column.paint(palette, text);
    }),
  );
  return [titles, ...lines].map((line) => line.join(GAP).trimEnd()).join("\n");
}

/** Narrows the widest shrinkable columns until all fit; `undefined` if they cannot. */
function shrink(columns: readonly Column[], widths: readonly number[], total: number): number[] | undefined {
  const fitted = [...widths];
  let excess = fitted.reduce((sum, width) => sum + width, GAP.length * (columns.length - 1)) - total;
  while (excess > 0) {
    let widest = -1;
    for (const [index, column] of columns.entries()) {
      const width = fitted[index] ?? 0;
      if (column.minWidth === undefined || width <= Math.max(column.minWidth, column.title.length)) continue;
      if (widest === -1 || width > (fitted[widest] ?? 0)) widest = index;
    }
    if (widest === -1) return undefined;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
    excess--;
  }
  return fitted;
}

function renderBlocks(columns: readonly Column[], cells: readonly (readonly string[])[], palette: Palette): string {
  return cells
    .map((row) =>
      renderFields(
        columns.map((column, index) => [column.title, row[index] ?? ""] as const),
        palette,
      ),
    )
    .join("\n\n");
}

/** `NAME  value` lines, the values in one column. Empty values are left out. */
export function renderFields(
  fields: readonly (readonly [name: string, value: string])[],
  palette: Palette = PLAIN,
): string {
  const shown = fields.filter(([, value]) => value !== "");
  const width = Math.max(0, ...shown.map(([name]) => displayWidth(escapeLine(name))));
  return shown
    .map(([name, value]) => `${palette.strong(pad(escapeLine(name), width))}${GAP}${escapeLine(value)}`)
    .join("\n");
}
