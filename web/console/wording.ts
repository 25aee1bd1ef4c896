/** The console's texts. Each area has its own, which come with its pages: `wording({ en, ru })`. */
import { type Forms, type Language, phrase, useLanguage, type Values } from "../chat";

export const SPOKEN = { en: "English", ru: "Русский" } as const;
export type Spoken = keyof typeof SPOKEN;
export type Say<Key extends string> = (key: Key, values?: Values) => string;

const KEPT = "frontdesk:console:language";

/** English where there are no texts in the language. */
export function spokenOf(locale: string): Spoken {
  const name = locale.split("-")[0] ?? "en";
  return name in SPOKEN ? (name as Spoken) : "en";
}

export function wording<Key extends string>(texts: Record<Spoken, Record<Key, Forms>>): () => Say<Key> {
  return () => sayOf(texts, useLanguage());
}

function sayOf<Key extends string>(texts: Record<Spoken, Record<Key, Forms>>, language: Language): Say<Key> {
  const spoken = spokenOf(language.locale);
  const plurals = new Intl.PluralRules(spoken);
  return (key, values = {}) => phrase(texts[spoken][key], values, plurals);
}

/** What was chosen here, or what the browser prefers. */
export function preferredLocale(): string {
  return localStorage.getItem(KEPT) ?? navigator.language;
}

/** Texts are read as pages are made, so the page is made again. */
export function chooseLocale(locale: string): void {
  localStorage.setItem(KEPT, locale);
  location.reload();
}
