/** What was used, by whom and when. */
export interface Used {
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
}

export interface DayUsage extends Used {
  day: string;
  model: string;
}

export interface CallerUsage extends Used {
  caller_kind: "user" | "service";
  caller_id: string;
}

export interface Report<Item> {
  since: string;
  used: Used;
  items: Item[];
  total: number;
}

export const PERIODS = [7, 30, 90] as const;
const DAY = 86_400_000;

export function tokensOf(used: Used): number {
  return used.prompt_tokens + used.completion_tokens;
}

/** Each day since then (UTC), also those on which nothing was used. */
export function tokensByDay(report: Report<DayUsage>, days: number): [day: Date, tokens: number][] {
  const tokens = new Map<string, number>();
  for (const each of report.items) tokens.set(each.day, (tokens.get(each.day) ?? 0) + tokensOf(each));
  const first = Date.parse(`${report.since}T00:00:00Z`);
  return Array.from({ length: days }, (_, number) => {
    const day = new Date(first + number * DAY);
    return [day, tokens.get(day.toISOString().slice(0, 10)) ?? 0];
  });
}
