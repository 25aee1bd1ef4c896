/** A source that an answer names, in the few shapes that the surfaces use for it. */
import type { Citation } from "../model";

interface WireCitation {
  source?: string | { name?: string; url?: string; uri?: string; type?: string };
  sourceName?: string;
  title?: string;
  url?: string;
  content?: string;
  quote?: string;
  text?: string;
  page?: number;
}

export function citationOf(wire: unknown): Citation {
  const told = (typeof wire === "object" && wire !== null ? wire : {}) as WireCitation;
  const source = typeof told.source === "object" ? told.source : { name: told.source };
  const url = webAddress(told.url ?? source.url ?? source.uri);
  return {
    source: told.title ?? told.sourceName ?? source.name ?? url ?? "",
    url,
    quote: told.quote ?? told.content ?? told.text,
    page: typeof told.page === "number" ? told.page : undefined,
  };
}

/** Only what a browser may open as a page. */
export function webAddress(address: string | undefined): string | undefined {
  return address !== undefined && /^https?:\/\//i.test(address) ? address : undefined;
}
