import { expect, it } from "vitest";
import { channels, contrast, READABLE, readableOn, textOn } from "./colour";

const COLOURS = Array.from(
  { length: 512 },
  (_, index) =>
    `#${index
      .toString(8)
      .padStart(3, "0")
      .replace(/\d/g, (digit) => (Number(digit) * 2).toString(16))}`,
);

it("makes every colour readable as text, by day and by night", () => {
  for (const [page, text] of [
    ["#f6f6f7", "#1c1c21"],
    ["#232329", "#ececf1"],
  ] as const) {
    for (const colour of COLOURS) {
      const found = readableOn(colour, page, text);
      const parts = (/rgb\((\d+) (\d+) (\d+)\)/.exec(found) ?? []).slice(1).map(Number);
      const its = found.startsWith("#") ? channels(found) : ([parts[0] ?? 0, parts[1] ?? 0, parts[2] ?? 0] as const);
      expect(its && contrast(its, channels(page) ?? [0, 0, 0])).toBeGreaterThanOrEqual(READABLE);
    }
  }
});

it("has text that can be read on every colour", () => {
  for (const colour of COLOURS) {
    const on = channels(textOn(colour)) ?? [0, 0, 0];
    expect(contrast(channels(colour) ?? [0, 0, 0], on)).toBeGreaterThanOrEqual(READABLE);
  }
});
