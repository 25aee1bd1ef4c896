/** The chat element: everything that pages with a conversation share. It knows no page. */
export { PublicChat } from "./adapters/public_chat";
export { ThreadsApi } from "./adapters/threads_api";
export { type Conversation, converse } from "./conversation";
export { type Forms, LANGUAGE, type Language, languageOf, phrase, useLanguage, type Values } from "./i18n";
export { default as FdChat } from "./ui/FdChat.vue";
export { default as FdIcon } from "./ui/FdIcon.vue";
