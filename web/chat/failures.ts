/** What to tell somebody of a failure, in their language. What the server says is for the rest, and for developers. */
import type { Key, Language } from "./i18n";
import type { Failure } from "./model";

const TEXTS: Record<string, Key> = {
  unreachable: "unreachable",
  execution_active: "busy",
  session_expired: "expired",
  session_ended: "ended",
  not_found: "unavailable",
  bad_credentials: "wrongPassword",
  insufficient_quota: "usedUp",
  provider_unavailable: "modelAway",
  provider_timeout: "modelAway",
  agent_unavailable: "nobody",
  llm_disabled: "noAnswers",
  search_disabled: "noSearch",
  unavailable: "away",
  overloaded: "away",
  storage_unavailable: "away",
  body_too_large: "tooLarge",
  file_too_large: "tooLarge",
  file_type_not_allowed: "wrongType",
  too_many_files: "fewerFiles",
  uploads_not_allowed: "noFiles",
};

export function explain(failure: Failure, language: Language, otherwise: Key = "wrong"): string {
  if (failure.retryAfter !== undefined && failure.code === "rate_limited") {
    return language.t("wait", { count: failure.retryAfter });
  }
  const key = TEXTS[failure.code];
  return key === undefined ? failure.message || language.t(otherwise) : language.t(key);
}
