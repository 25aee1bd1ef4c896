import { expect, test } from "vitest";
import { barsOf, niceTop } from "./scale";

test("an axis ends in a round number that nothing is above", () => {
  expect([0, 1, 2, 3, 7, 10, 11, 49, 101, 0.2].map(niceTop)).toEqual([1, 1, 2, 5, 10, 10, 20, 50, 200, 1]);
});

test("bars stand on the ground, next to each other", () => {
  const [none, whole] = barsOf([0, 10], { width: 200, height: 50 });
  expect(none).toEqual({ x: 10, y: 50, width: 80, height: 0 });
  expect(whole).toEqual({ x: 110, y: 0, width: 80, height: 50 });
  expect(barsOf([], { width: 10, height: 10 })).toEqual([]);
});
