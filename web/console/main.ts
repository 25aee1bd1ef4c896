import { createApp } from "vue";
import "../chat/styles/tokens.css";
import "../chat/styles/chat.css";
import "./console.css";
import { LANGUAGE, languageOf } from "../chat";
import { Account } from "./account";
import ConsoleShell from "./ConsoleShell.vue";
import { DESK } from "./desk";
import { routerOf } from "./routes";
import { threadsOf } from "./threads";
import { preferredLocale, spokenOf } from "./wording";

interface Given {
  /** Where the API is: `/api`. */
  root: string;
  fallbackModels: string[];
}

async function start(): Promise<void> {
  const given = JSON.parse(document.getElementById("frontdesk")?.textContent ?? "") as Given;
  const account = new Account(given.root);
  const [language] = await Promise.all([languageOf(preferredLocale()), account.resume().catch(() => undefined)]);
  document.documentElement.lang = spokenOf(language.locale);
  createApp(ConsoleShell)
    .use(routerOf(account))
    .provide(LANGUAGE, language)
    .provide(DESK, { account, threads: threadsOf(account), fallbackModels: given.fallbackModels })
    .mount("#app");
}

void start();
