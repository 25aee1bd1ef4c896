// @vitest-environment jsdom
import { describe, expect, it } from "vitest";
import { cleanAnswer, cleanCode } from "./cleaning";
import parts from "./payloads.json";
import { type Block, GrowingBlocks } from "./rendering";

/** Texts that try to become script, a request or a disguise; the tests in a browser make the same of these parts. */
const PAYLOADS = [
  ...parts.raw,
  ...parts.tags.flatMap((tag) =>
    parts.handlers.flatMap((handler) =>
      parts.shapes.map((shape) => shape.replace("TAG", tag).replace("HANDLER", handler)),
    ),
  ),
  ...parts.schemes.flatMap((scheme) => parts.links.map((link) => link.replaceAll("URL", `${scheme}CALL`))),
].map((each) => each.replaceAll("CALL", "window.__hit=1").replaceAll("ELSEWHERE", "https://evil.example/x"));

const TAGS = new Set(
  "P BR HR STRONG EM S CODE PRE BLOCKQUOTE UL OL LI A SPAN DIV H2 H3 H4 H5 H6 TABLE THEAD TBODY TR TH TD".split(" "),
);
const ATTRIBUTES = new Set(["href", "title", "class", "align", "start", "tabindex", "role", "target", "rel"]);

function shown(text: string, growing?: GrowingBlocks): HTMLElement {
  const root = document.createElement("div");
  for (const block of (growing ?? new GrowingBlocks()).blocks(text, growing !== undefined)) {
    const part = document.createElement("div");
    if (block.kind === "html") part.append(cleanAnswer(block.html));
    else part.textContent = block.code;
    root.append(part);
  }
  return root;
}

function faults(root: HTMLElement): string[] {
  return [...root.querySelectorAll("*")].flatMap((each) => [
    ...(TAGS.has(each.tagName) ? [] : [each.tagName]),
    ...[...each.attributes].filter(({ name }) => !ATTRIBUTES.has(name)).map(({ name }) => name),
    ...(/^(https?:|mailto:|#)/i.test(each.getAttribute("href") ?? "#") ? [] : [each.getAttribute("href") ?? ""]),
  ]);
}

describe("answers", () => {
  it("are nothing but text, links and their form, whole and at each step of their way", () => {
    expect(PAYLOADS.length).toBeGreaterThanOrEqual(500);
    PAYLOADS.forEach((payload, place) => {
      const made = new GrowingBlocks();
      const step = place % 10 === 0 || place < 50 ? 9 : payload.length;
      for (let length = step; length < payload.length; length += step) {
        expect(faults(shown(payload.slice(0, length), made))).toEqual([]);
      }
      expect(faults(shown(payload, made))).toEqual([]);
    });
  });

  it("show pictures of other sites as links", () => {
    const root = shown("![a plan](https://elsewhere.example/p.png?secret=1)");
    expect(root.querySelector("img")).toBeNull();
    expect(root.querySelector("a")?.getAttribute("href")).toBe("https://elsewhere.example/p.png?secret=1");
    expect(root.textContent?.trim()).toBe("a plan");
  });

  it("open links apart, and tell them nothing", () => {
    const link = shown("See https://example.com/a and example.org").querySelectorAll("a");
    expect(link.length).toBe(1);
    expect(link[0]?.rel).toBe("noopener noreferrer nofollow ugc");
    expect(link[0]?.target).toBe("_blank");
  });

  it("keep what has not changed while they grow", () => {
    const text = "# One\n\nTwo *three*\n\n```js\nlet a = 1;\n```\n\n- four\n- five\n\nsix";
    const made = new GrowingBlocks();
    let before: Block[] = [];
    for (let length = 1; length <= text.length; length += 1) {
      const now = made.blocks(text.slice(0, length), true);
      now
        .slice(0, Math.min(now.length, before.length) - 2)
        .forEach((block, place) => expect(block).toBe(before[place]));
      before = now;
    }
    expect(before.map((each) => each.kind)).toEqual(["html", "html", "code", "html", "html"]);
    expect(before[2]).toMatchObject({ language: "js", code: "let a = 1;\n", isOpen: false });
  });

  it("are when they have grown what they would have been at once", () => {
    const part =
      "## One\n\ntwo *three*\n- four\n\n  five\n\n```js\nsix\n\nseven\n```\n> eight\n\n| a |\n|---|\n| b |\n\n---\nnine\n===\n";
    const text = part.repeat(4);
    const growing = new GrowingBlocks();
    for (let length = 1; length <= text.length; length += 1) growing.blocks(text.slice(0, length), true);
    const html = (blocks: Block[]) => blocks.map((each) => (each.kind === "html" ? each.html : each.code));
    expect(html(growing.blocks(text, true))).toEqual(html(new GrowingBlocks().blocks(text, false)));
  });

  it("know a definition that comes after its link", () => {
    const made = new GrowingBlocks();
    expect(shown("A [link][1].\n\nmore", made).querySelector("a")).toBeNull();
    expect(shown("A [link][1].\n\nmore\n\n[1]: https://example.com").querySelector("a")?.href).toBe(
      "https://example.com/",
    );
  });

  it("begin their headings below the page's own, and leave no level out", () => {
    const headings = shown("### One\n\n# Two\n\n###### Three").querySelectorAll("h1, h2, h3, h4, h5, h6");
    expect([...headings].map((each) => each.localName)).toEqual(["h2", "h2", "h3"]);
  });
});

describe("colours of code", () => {
  it("are spans and nothing else", () => {
    const fragment = cleanCode('<span class="hljs-string" onclick="x()">a</span><img src=x onerror=x()>');
    expect(fragment.querySelectorAll("*").length).toBe(1);
    expect(fragment.firstElementChild?.attributes.length).toBe(1);
  });
});
