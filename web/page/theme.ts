import { readableOn, textOn } from "./colour";
import type { Looks } from "./interface";

/** The custom properties that make an interface look as its owner chose. */
export function themeOf(chat: Looks, isDark: boolean): Record<string, string> {
  const [page, text] = isDark ? ["#232329", "#ececf1"] : ["#f6f6f7", "#1c1c21"];
  return {
    "--accent": chat.primaryColor,
    "--on-accent": textOn(chat.primaryColor),
    "--accent-text": readableOn(chat.primaryColor, page, text),
    "--font": chat.fontFamily,
    "--radius": `${chat.borderRadius}px`,
    "--cover": coverOf(chat),
  };
}

/** By the style object alone, which every Content-Security-Policy allows. */
export function applyTheme(chat: Looks): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    for (const [name, value] of Object.entries(themeOf(chat, dark.matches))) {
      document.documentElement.style.setProperty(name, value);
    }
  };
  apply();
  dark.addEventListener("change", apply);
}

function coverOf(chat: Looks): string {
  if (chat.coverType !== "image") return chat.coverValue;
  return `center / cover no-repeat url(${JSON.stringify(chat.coverValue)})`;
}
