/** What was used, and how it is drawn. */
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

export interface Bar {
  day: string;
  tokens: number;
}

export const PERIODS = [7, 30, 90] as const;
const DAY = 86_400_000;

export function tokensOf(used: Used): number {
  return used.prompt_tokens + used.completion_tokens;
}

/** One for each day since then (UTC), also for those on which nothing was used. */
export function barsOf(report: Report<DayUsage>, days: number): Bar[] {
  const tokens = new Map<string, number>();
  for (const each of report.items) tokens.set(each.day, (tokens.get(each.day) ?? 0) + tokensOf(each));
  const first = Date.parse(`${report.since}T00:00:00Z`);
  return Array.from({ length: days }, (_, number) => {
    const day = new Date(first + number * DAY).toISOString().slice(0, 10);
    return { day, tokens: tokens.get(day) ?? 0 };
  });
}

/** The next number of the form 1, 2 or 5 times a power of ten. */
export function roundUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}
