/** The rows of the list: messages, and between them what tells the days apart. */
import type { Shown } from "./branches";
import type { Language } from "./i18n";

export type Row =
  | { kind: "welcome"; key: string }
  | { kind: "earlier"; key: string }
  | { kind: "day"; key: string; label: string }
  | { kind: "message"; key: string; shown: Shown; isLast: boolean }
  | { kind: "waiting"; key: string };

export function rowsOf(
  shown: readonly Shown[],
  state: { hasMore: boolean; isWaiting: boolean; hasWelcome: boolean; now: Date },
  language: Language,
): Row[] {
  const rows: Row[] = [];
  if (state.hasMore) rows.push({ kind: "earlier", key: "earlier" });
  else if (state.hasWelcome) rows.push({ kind: "welcome", key: "welcome" });
  let day = state.hasMore || shown.length === 0 ? "" : dayOf(state.now);
  shown.forEach((each, index) => {
    const its = dayOf(each.message.at);
    if (its !== day)
      rows.push({ kind: "day", key: `day:${its}`, label: dayLabel(each.message.at, state.now, language) });
    day = its;
    rows.push({ kind: "message", key: each.message.key, shown: each, isLast: index === shown.length - 1 });
  });
  if (state.isWaiting) rows.push({ kind: "waiting", key: "waiting" });
  return rows;
}

function dayOf(at: Date): string {
  return `${at.getFullYear()}-${at.getMonth()}-${at.getDate()}`;
}

function dayLabel(at: Date, now: Date, language: Language): string {
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (dayOf(at) === dayOf(now)) return language.t("today");
  if (dayOf(at) === dayOf(yesterday)) return language.t("yesterday");
  const year = at.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return new Intl.DateTimeFormat(language.locale, { weekday: "long", day: "numeric", month: "long", year }).format(at);
}
