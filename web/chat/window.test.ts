import { expect, it } from "vitest";
import { RowWindow } from "./window";

it("knows where rows are, and which are seen, of ten thousand", () => {
  const rows = new RowWindow(100);
  rows.set(Array.from({ length: 10_000 }, (_, index) => `row${index}`));
  expect(rows.total).toBe(1_000_000);
  expect(rows.range(500_000, 700, 300)).toEqual([4997, 5011]);
  expect(
    rows.measured([
      ["row0", 400],
      ["row1", 0],
    ]),
  ).toBe(true);
  expect(rows.measured([["row0", 400]])).toBe(false);
  expect([rows.total, rows.topOf("row1"), rows.keyAt(399), rows.keyAt(400)]).toEqual([1_000_300, 400, "row0", "row1"]);
  rows.set([]);
  expect([rows.total, rows.range(0, 700, 300)]).toEqual([0, [0, 0]]);
});
