/** The console's pages. A new one is a component, loaded when it is opened, a line here and, if it is to be found, a line
 *  in `NAVIGATION`.
 */
import { createRouter, createWebHistory, type RouteRecordRaw } from "vue-router";
import type { IconName } from "../chat/ui/icons";
import type { Account } from "./account";
import { agentRoutes } from "./agents/routes";
import { interfaceRoutes } from "./interfaces/routes";
import ThreadPage from "./pages/ThreadPage.vue";

const routes: RouteRecordRaw[] = [
  { path: "/", name: "home", component: ThreadPage, props: { id: null } },
  { path: "/threads/:id", name: "thread", component: ThreadPage, props: true },
  ...agentRoutes,
  ...interfaceRoutes,
  { path: "/sign-in", name: "sign-in", component: () => import("./pages/SignInPage.vue") },
  { path: "/:path(.*)*", redirect: "/" },
];

export const NAVIGATION: { name: string; label: string; icon: IconName }[] = [
  { name: "home", label: "New conversation", icon: "plus" },
  { name: "agents", label: "Agents", icon: "agent" },
  { name: "interfaces", label: "Chats for sites", icon: "shop" },
];

export function routerOf(account: Account) {
  const router = createRouter({ history: createWebHistory("/console/"), routes });
  router.beforeEach((to) => {
    if (account.user.value === null && to.name !== "sign-in") return { name: "sign-in", query: { to: to.fullPath } };
    return true;
  });
  return router;
}
