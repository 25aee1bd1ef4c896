import { describe, expect, it } from "vitest";
import { barsOf, roundUp } from "./usage";

const used = { requests: 1, prompt_tokens: 3, completion_tokens: 4 };

describe("the bars of usage", () => {
  it("stand for every day, also over the end of a month", () => {
    const items = [
      { day: "2026-03-01", model: "a", ...used },
      { day: "2026-02-28", model: "a", ...used },
      { day: "2026-02-28", model: "b", ...used },
    ];
    expect(barsOf({ since: "2026-02-27", used, items, total: 3 }, 4)).toEqual([
      { day: "2026-02-27", tokens: 0 },
      { day: "2026-02-28", tokens: 14 },
      { day: "2026-03-01", tokens: 7 },
      { day: "2026-03-02", tokens: 0 },
    ]);
  });

  it("have an axis that ends at a round number", () => {
    expect([0, 1, 3, 7, 10, 11, 499, 501].map(roundUp)).toEqual([1, 1, 5, 10, 10, 20, 500, 1000]);
  });
});
