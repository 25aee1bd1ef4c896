/** What somebody has begun to write, kept where the browser allows it, so that a reload takes nothing away. */

const PREFIX = "frontdesk:draft:";

export function keptDraft(name: string): string {
  try {
    return sessionStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return "";
  }
}

export function keepDraft(name: string, text: string): void {
  try {
    if (text === "") sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, text);
  } catch {
    // Storage is closed to this page: then the draft lives as long as the page.
  }
}
