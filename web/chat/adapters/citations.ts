/** A source that an answer names, in the few shapes that the surfaces use for it. */
import type { Citation } from "../model";

export interface WireCitation {
  source?: { name?: string; url?: string | null };
  label?: string | null;
  excerpt?: string | null;
  span?: { page?: number | null } | null;
}

export function citationOf({ source, label, excerpt, span }: WireCitation): Citation {
  const url = webAddress(source?.url);
  return {
    source: source?.name || label || url || "",
    url,
    quote: excerpt ?? undefined,
    page: span?.page ?? undefined,
  };
}

/** Only what a browser may open as a page. */
export function webAddress(address: string | null | undefined): string | undefined {
  return address && /^https?:\/\//i.test(address) ? address : undefined;
}
