import { createApp } from "vue";
import "../chat/styles/tokens.css";
import "../chat/styles/chat.css";
import "./page.css";
import { LANGUAGE, languageOf } from "../chat";
import ChatPage from "./ChatPage.vue";
import { Host } from "./host";
import { given } from "./interface";
import { applyTheme } from "./theme";
import { Visit } from "./visit";

async function start(): Promise<void> {
  const page = given();
  const host = Host.around();
  const visit = new Visit(page, host);
  applyTheme(page.interface);
  const [language] = await Promise.all([languageOf(page.interface.locale), visit.resume().catch(() => undefined)]);
  document.documentElement.dir = language.direction;
  createApp(ChatPage, { page, visit, host }).provide(LANGUAGE, language).mount("#app");
}

void start();
