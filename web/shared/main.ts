import { createApp } from "vue";
import "../chat/styles/tokens.css";
import "../chat/styles/chat.css";
import "./shared.css";
import { LANGUAGE, languageOf } from "../chat";
import SharedPage from "./SharedPage.vue";
import { given } from "./shared";

async function start(): Promise<void> {
  const language = await languageOf(navigator.language);
  createApp(SharedPage, { shared: given() }).provide(LANGUAGE, language).mount("#app");
}

void start();
