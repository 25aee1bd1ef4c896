import { expect, test } from "vitest";
import { messageOf } from "./api";
import { type Interface, looksOf, settingsOf, tabOf, wireOf } from "./draft";
import { embeddingOf } from "./embedding";
import { slugOf } from "./slug";

const FOUND = {
  name: "Shop",
  coverType: "color",
  coverValue: "#fff",
  identityJwks: { keys: [] },
  suggestedPrompts: [{ text: "Maps?", icon: "" }, { text: "  " }],
  borderRadius: null,
} as unknown as Interface;

test("an address is made of a name in any alphabet", () => {
  expect(slugOf("  Ask the Bookshop! ")).toBe("ask-the-bookshop");
  expect(slugOf("Щедрый Объект")).toBe("schedryy-obekt");
  expect(slugOf("Café Zoë")).toBe("cafe-zoe");
  expect(slugOf("地図")).toBe("");
  expect(slugOf(`${"a".repeat(63)} b`)).toBe("a".repeat(63));
});

test("a title stays a title in the code of a frame", () => {
  const code = embeddingOf("https://chat.example", "shop", `"><script>"A & B`);
  expect(code.page).toBe("https://chat.example/c/shop");
  expect(code.frame).toContain(`title="&quot;>&lt;script>&quot;A &amp; B"`);
  expect(code.widget).toBe(`<script src="https://chat.example/widget/shop.js" async></script>`);
});

test("only what changed is sent, and a cover as a whole", () => {
  const settings = settingsOf(FOUND);
  expect(wireOf({ title: "New" }, settings)).toEqual({ title: "New" });
  expect(wireOf({ coverValue: "#000" }, { ...settings, coverValue: "#000" })).toEqual({
    coverType: "color",
    coverValue: "#000",
  });
  expect(wireOf({ suggestedPrompts: settings.suggestedPrompts }, settings)).toEqual({
    suggestedPrompts: [{ text: "Maps?", icon: null }],
  });
});

test("keys are a text in the form, and JSON on the way", () => {
  const settings = settingsOf(FOUND);
  expect(JSON.parse(settings.identityJwks)).toEqual({ keys: [] });
  expect(wireOf({ identityJwks: " " }, settings)).toEqual({ identityJwks: null });
  expect(wireOf({ identityJwks: `{"keys": [1]}` }, settings)).toEqual({ identityJwks: { keys: [1] } });
  expect(() => wireOf({ identityJwks: "{" }, settings)).toThrow(SyntaxError);
});

test("a refused field is found in its tab", () => {
  expect(tabOf("suggestedPrompts.text")).toBe("Chat");
  expect(tabOf("allowedOrigins")).toBe("Limits");
  expect(tabOf("nothing")).toBeUndefined();
});

test("a preview bears what is half written", () => {
  expect(looksOf(settingsOf(FOUND))).toMatchObject({
    borderRadius: 0,
    suggestedPrompts: [{ text: "Maps?", icon: null }],
  });
});

test("a transcript's message is one of the chat element's", () => {
  const call = { id: "c", name: "find", status: "awaiting_result", arguments: "{}", result: null };
  const wire = {
    id: "m",
    role: "user" as const,
    content: "hi",
    status: "failed" as const,
    timestamp: "2026-01-01T00:00:00Z",
    attachments: [{ type: "file" as const, name: "guide.pdf", downloadUrl: "http://chat.example/blobs/g" }],
    citations: [{ source: { name: "guide.pdf" }, excerpt: "a fox" }],
  };
  expect(messageOf({ ...wire, toolCalls: [call] })).toMatchObject({
    id: "m",
    text: "hi",
    status: "completed",
    attachments: [{ name: "guide.pdf", url: "http://chat.example/blobs/g" }],
    calls: [{ id: "c", status: "waiting", result: undefined }],
    citations: [{ source: "guide.pdf", quote: "a fox" }],
  });
});
