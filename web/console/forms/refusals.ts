/** What the API finds wrong with a form's fields, in words for whoever fills them in. A field is named by its path in the
 *  request, such as `limits.maxSteps`.
 */
import { type FieldError, Refusal } from "../../chat/transport";
import type { useFormWords } from "./words";

type Say = ReturnType<typeof useFormWords>;
type Wording = "needed" | "number" | "tooLong" | "atLeast" | "atMost" | "moreThan" | "tooMany" | "wrongForm";

const WORDINGS: Record<string, Wording> = {
  missing: "needed",
  string_too_short: "needed",
  string_too_long: "tooLong",
  greater_than_equal: "atLeast",
  less_than_equal: "atMost",
  greater_than: "moreThan",
  too_long: "tooMany",
  string_pattern_mismatch: "wrongForm",
  int_type: "number",
  int_parsing: "number",
  int_from_float: "number",
  float_type: "number",
  float_parsing: "number",
};
const OF_A_MODEL = /^Value error, (\w+): (.+)$/s;

/** Codes that are about one field, and which. */
export type ByCode = Record<string, { field: string; text: string }>;

export function fieldErrorsOf(error: unknown, say: Say, byCode: ByCode = {}): Record<string, string> {
  if (!(error instanceof Refusal)) return {};
  const known = byCode[error.code];
  if (known) return { [known.field]: known.text };
  const found: Record<string, string> = {};
  for (const each of error.errors) {
    const { field, text } = told(each, say);
    found[field] ??= text;
  }
  return found;
}

function told(error: FieldError, say: Say): { field: string; text: string } {
  const path = error.loc.slice(1);
  const model = OF_A_MODEL.exec(error.msg);
  if (path.length === 0 && model) return { field: model[1] ?? "", text: model[2] ?? "" };
  const field = path.filter((each) => typeof each === "string").join(".");
  const index = path.find((each) => typeof each === "number");
  const text = worded(error, say);
  const place = index === undefined ? undefined : index + 1;
  if (place === undefined) return { field, text };
  return { field: String(path[0]), text: say("inPlace", { place, text }) };
}

function worded(error: FieldError, say: Say): string {
  const wording = WORDINGS[error.type];
  if (wording === undefined) return error.msg.replace(/^Value error, /, "");
  const limit = /-?\d+(?:\.\d+)?/.exec(error.msg)?.[0] ?? "";
  return say(wording, { limit });
}
