/** The chat element: everything that pages with a conversation share. It knows no page. */
export { PublicChat } from "./adapters/public_chat";
export { ThreadsApi } from "./adapters/threads_api";
export { type Conversation, converse } from "./conversation";
export { LANGUAGE, type Language, languageOf, useLanguage } from "./i18n";
export { default as FdChat } from "./ui/FdChat.vue";
export { default as FdIcon } from "./ui/FdIcon.vue";
