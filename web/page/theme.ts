import { readableOn, textOn } from "./colour";
import type { ChatInterface } from "./interface";

/** By the style object alone, which every Content-Security-Policy allows. */
export function applyTheme(chat: ChatInterface): void {
  const style = document.documentElement.style;
  style.setProperty("--accent", chat.primaryColor);
  style.setProperty("--on-accent", textOn(chat.primaryColor));
  style.setProperty("--font", chat.fontFamily);
  style.setProperty("--radius", `${chat.borderRadius}px`);
  style.setProperty("--cover", coverOf(chat));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const adjust = () => {
    const [page, text] = dark.matches ? ["#232329", "#ececf1"] : ["#f6f6f7", "#1c1c21"];
    style.setProperty("--accent-text", readableOn(chat.primaryColor, page, text));
  };
  adjust();
  dark.addEventListener("change", adjust);
}

function coverOf(chat: ChatInterface): string {
  if (chat.coverType !== "image") return chat.coverValue;
  return `center / cover no-repeat url(${JSON.stringify(chat.coverValue)})`;
}
