/** Languages. To add one: a file beside `ru.ts`, and its name in `LANGUAGES`. */
import { type InjectionKey, inject } from "vue";
import { en, type Texts } from "./en";

export const LANGUAGES: Record<string, () => Promise<Texts>> = {
  en: async () => en,
  ru: async () => (await import("./ru")).ru,
};
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur", "yi", "ps", "dv", "ckb"]);

export type Key = keyof Texts;
export type Values = Record<string, string | number>;
export type Forms = string | Partial<Record<Intl.LDMLPluralRule, string>>;

export interface Language {
  locale: string;
  direction: "ltr" | "rtl";
  /** With a `count`, in the form that the language has for it. */
  t(key: Key, values?: Values): string;
  size(bytes: number): string;
}

/** The texts are English where there are none in this language; dates and numbers are in its own way nevertheless. */
export async function languageOf(locale: string): Promise<Language> {
  const known = canonical(locale);
  const name = known.split("-")[0] ?? "en";
  const load = LANGUAGES[name] ?? LANGUAGES.en;
  const texts = load ? await load() : en;
  return makeLanguage(known, texts);
}

export function makeLanguage(locale: string, texts: Texts = en): Language {
  const plurals = new Intl.PluralRules(locale);
  return {
    locale,
    direction: RIGHT_TO_LEFT.has(locale.split("-")[0] ?? "") ? "rtl" : "ltr",
    t: (key, values = {}) => phrase(texts[key], values, plurals),
    size(bytes) {
      const isLarge = bytes >= 1_000_000;
      const unit = isLarge ? "megabyte" : "kilobyte";
      const format = new Intl.NumberFormat(locale, { style: "unit", unit, maximumFractionDigits: isLarge ? 1 : 0 });
      return format.format(isLarge ? bytes / 1_048_576 : Math.max(1, bytes / 1024));
    },
  };
}

/** A text with its values in their places, in the form that the language has for `count`. */
export function phrase(text: Forms, values: Values, plurals: Intl.PluralRules): string {
  const form = typeof text === "string" ? text : (text[plurals.select(Number(values.count))] ?? text.other ?? "");
  return form.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ""));
}

function canonical(locale: string): string {
  try {
    return Intl.getCanonicalLocales(locale)[0] ?? "en";
  } catch {
    return "en";
  }
}

export const LANGUAGE: InjectionKey<Language> = Symbol("language");

export function useLanguage(): Language {
  return inject(LANGUAGE, () => makeLanguage("en"), true);
}
