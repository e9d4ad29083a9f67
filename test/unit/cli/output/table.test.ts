import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { displayWidth } from "../../../../src/cli/output/display-width.ts";
import { renderFields, renderTable, type Column } from "../../../../src/cli/output/table.ts";

const COLUMNS: Column[] = [{ title: "ID" }, { title: "NAME", minWidth: 6 }, { title: "NOTE", minWidth: 4 }];

test("without a terminal nothing is cut", () => {
  const long = "x".repeat(300);
  assert.ok(renderTable(COLUMNS, [["1", long, ""]]).includes(long));
});

test("the widest column gives way first, down to its least width", () => {
  const rows = [["1", "a long enough name", "a note"]];
  assert.equal(renderTable(COLUMNS, rows, { width: 22 }), "ID  NAME        NOTE\n1   a long en…  a note");
});

test("where not even that fits, each row becomes a block", () => {
  assert.equal(
    renderTable(
      COLUMNS,
      [
        ["1234567890", "some name", "x"],
        ["2", "", "y"],
      ],
      { width: 14 },
    ),
    ["ID    1234567890", "NAME  some name", "NOTE  x", "", "ID    2", "NOTE  y"].join("\n"),
  );
});

test("cells are escaped by the table itself", () => {
  assert.equal(renderTable([{ title: "T" }], [["\u001b[2J\n"]]), "T\n\\e[2J\\n");
  assert.equal(renderFields([["a\u0007", "b\u202e"]]), "a\\x07  b\\u202e");
});

test("no line of a table that is no block is wider than the terminal, and none ends in spaces", () => {
  const cell = fc.string({ unit: "grapheme", maxLength: 40 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.stringMatching(/^\w{1,8}$/), cell, cell), { maxLength: 5 }), (rows) => {
      for (const line of renderTable(COLUMNS, rows, { width: 30 }).split("\n")) {
        assert.ok(displayWidth(line) <= 30, line);
        assert.equal(line, line.trimEnd());
      }
    }),
  );
});
