import { describe, expect, it } from "vitest";
import { bodyOf, type Hit, piecesOf, questionOf, queryOf } from "./search";

function hit(snippet: string, highlights: [number, number][]): Hit {
  return { thread: { id: "t", title: null, last_message_at: null }, message_id: "m", snippet, highlights };
}

describe("a snippet", () => {
  it("is cut at code points, not at halves of characters", () => {
    expect(piecesOf(hit("🗺️ maps of 🏔", [[3, 7]]))).toEqual([
      { text: "🗺️ ", isHit: false },
      { text: "maps", isHit: true },
      { text: " of 🏔", isHit: false },
    ]);
  });

  it("is whole, whatever is highlighted", () => {
    for (const highlights of [
      [],
      [[0, 4]],
      [
        [0, 2],
        [1, 4],
      ],
      [[2, 2]],
      [[2, 99]],
    ] as [number, number][][]) {
      const pieces = piecesOf(hit("abcd", highlights));
      expect(pieces.map((each) => each.text).join("")).toBe("abcd");
    }
  });
});

describe("a question", () => {
  it("comes back from its address", () => {
    const question = {
      q: "maps",
      mode: "text",
      role: "user",
      model: "m",
      from: "2026-03-01",
      to: "2026-03-02",
    } as const;
    expect(questionOf(queryOf(question))).toEqual(question);
    expect(queryOf({ ...question, mode: "hybrid", role: "", model: "", from: "", to: "" })).toEqual({ q: "maps" });
  });

  it("takes nothing from an address that the API does not know", () => {
    expect(questionOf({ q: ["a", "b"], mode: "magic", role: "root" })).toMatchObject({
      q: "",
      mode: "hybrid",
      role: "",
    });
  });

  it("asks for whole days", () => {
    const body = bodyOf({ q: "x", mode: "text", role: "", model: "", from: "2026-03-01", to: "2026-03-01" }, 20);
    const { from, to } = body as { from: string; to: string };
    expect(Date.parse(to) - Date.parse(from)).toBe(86_399_999);
    expect(body).toMatchObject({ query: "x", offset: 20 });
    expect(body).not.toHaveProperty("role");
  });
});
