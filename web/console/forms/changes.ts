/** The fields that differ, by what they are as JSON. */
export function changesOf<Values extends object>(before: Values, now: Values): Partial<Values> {
  const changed: Partial<Values> = {};
  for (const name of Object.keys(now) as (keyof Values)[]) {
    if (JSON.stringify(before[name]) !== JSON.stringify(now[name])) changed[name] = now[name];
  }
  return changed;
}

/** One line for each; empty ones and white space around them count for nothing. */
export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((each) => each.trim())
    .filter((each) => each !== "");
}
