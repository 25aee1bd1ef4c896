/** What to tell somebody of a failure, in their language. What the server says is for the rest, and for developers. */
import type { Key, Language } from "./i18n";
import type { Failure } from "./model";

const TEXTS: Record<string, Key> = {
  unreachable: "unreachable",
  execution_active: "busy",
  session_expired: "expired",
  session_ended: "ended",
  not_found: "unavailable",
};

export function explain(failure: Failure, language: Language, otherwise: Key = "wrong"): string {
  if (failure.retryAfter !== undefined && failure.code === "rate_limited") {
    return language.t("wait", { count: failure.retryAfter });
  }
  const key = TEXTS[failure.code];
  return key === undefined ? failure.message || language.t(otherwise) : language.t(key);
}
