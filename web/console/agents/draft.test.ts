import { expect, test } from "vitest";
import { type Agent, blankDraft, draftOf, wireOf } from "./draft";

const AGENT: Agent = {
  id: "a1",
  ownerId: "u1",
  name: "Guide",
  kind: "model",
  runtime: null,
  model: "small",
  instructions: "Be brief.",
  tools: ["show_map"],
  temperature: 0.2,
  limits: { maxSteps: 3, maxSeconds: 60, maxTokens: null },
  users: [],
};

test("nobody, everybody and some are told apart", () => {
  expect(draftOf(AGENT).audience).toBe("me");
  expect(draftOf({ ...AGENT, users: null }).audience).toBe("everybody");
  expect(draftOf({ ...AGENT, users: ["u2"] })).toMatchObject({ audience: "chosen", chosen: ["u2"] });
});

test("who may use it is sent as the API has it, and only when it was changed", () => {
  const draft = { ...blankDraft(), chosen: ["u2"] };
  expect(wireOf({ name: "New" }, draft)).toEqual({ name: "New" });
  expect(wireOf({ audience: "everybody" }, { ...draft, audience: "everybody" })).toEqual({ users: null });
  expect(wireOf({ audience: "me" }, { ...draft, audience: "me" })).toEqual({ users: [] });
  expect(wireOf({ chosen: ["u2"] }, { ...draft, audience: "chosen" })).toEqual({ users: ["u2"] });
});

test("an agent that becomes a model has no runtime", () => {
  expect(wireOf({ kind: "model" }, { ...blankDraft(), runtime: "old" })).toEqual({ kind: "model", runtime: null });
  const remote = { ...blankDraft(), kind: "remote" as const, runtime: "planner" };
  expect(wireOf({ kind: "remote", runtime: "planner" }, remote)).toEqual({ kind: "remote", runtime: "planner" });
});
