import { expect, it } from "vitest";
import { tokensByDay } from "./usage";

const used = { requests: 1, prompt_tokens: 3, completion_tokens: 4 };

it("is told of every day, also over the end of a month", () => {
  const items = [
    { day: "2026-03-01", model: "a", ...used },
    { day: "2026-02-28", model: "a", ...used },
    { day: "2026-02-28", model: "b", ...used },
  ];
  expect(tokensByDay({ since: "2026-02-27", used, items, total: 3 }, 4)).toEqual([
    [new Date("2026-02-27T00:00:00Z"), 0],
    [new Date("2026-02-28T00:00:00Z"), 14],
    [new Date("2026-03-01T00:00:00Z"), 7],
    [new Date("2026-03-02T00:00:00Z"), 0],
  ]);
});
