import { expect, test } from "vitest";
import { Refusal } from "../../chat/transport";
import { changesOf, linesOf } from "./changes";
import { fieldErrorsOf } from "./refusals";
import { en } from "./words/en";

const say = (key: keyof typeof en, values: Record<string, string | number> = {}) =>
  en[key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));

function refused(...errors: { loc: (string | number)[]; msg: string; type: string }[]): Refusal {
  return new Refusal(422, "validation_error", "", undefined, errors);
}

test("only what differs is a change", () => {
  expect(changesOf({ a: [1], b: { c: 1 }, d: null }, { a: [1], b: { c: 2 }, d: null })).toEqual({ b: { c: 2 } });
});

test("lines are items", () => {
  expect(linesOf(" a \n\n b\n")).toEqual(["a", "b"]);
});

test("what is wrong stands by its field", () => {
  const error = refused(
    { loc: ["body", "name"], msg: "String should have at least 1 character", type: "string_too_short" },
    { loc: ["body", "limits", "maxSteps"], msg: "Input should be less than or equal to 1000", type: "less_than_equal" },
    { loc: ["body", "allowedOrigins", 1], msg: "Value error, an origin is a scheme and a host", type: "value_error" },
    { loc: ["body"], msg: "Value error, coverValue: a colour is #rgb", type: "value_error" },
  );
  expect(fieldErrorsOf(error, say)).toEqual({
    name: en.needed,
    "limits.maxSteps": "At most 1000.",
    allowedOrigins: "Number 2: an origin is a scheme and a host",
    coverValue: "a colour is #rgb",
  });
});

test("a code may be a field's", () => {
  const taken = new Refusal(409, "slug_taken", "The slug is taken");
  const byCode = { slug_taken: { field: "slug", text: "Taken" } };
  expect(fieldErrorsOf(taken, say, byCode)).toEqual({ slug: "Taken" });
  expect(fieldErrorsOf(taken, say)).toEqual({});
  expect(fieldErrorsOf(new Error("x"), say, byCode)).toEqual({});
});
