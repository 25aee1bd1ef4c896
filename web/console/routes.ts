/** The console's pages. A new one is a component, loaded when it is opened, a line here and, if it is to be found, a line
 *  in `NAVIGATION`.
 */
import { createRouter, createWebHistory, type RouteRecordRaw } from "vue-router";
import type { IconName } from "../chat/ui/icons";
import type { Account } from "./account";
import { agentRoutes } from "./agents/routes";
import { interfaceRoutes } from "./interfaces/routes";
import ThreadPage from "./pages/ThreadPage.vue";
import type { ConsoleKey } from "./texts";

declare module "vue-router" {
  interface RouteMeta {
    isForAdmins?: boolean;
  }
}

const routes: RouteRecordRaw[] = [
  { path: "/", name: "home", component: ThreadPage, props: { id: null, message: null } },
  {
    path: "/threads/:id",
    name: "thread",
    component: ThreadPage,
    props: ({ params, query }) => ({ id: params.id, message: query.message ?? null }),
  },
  {
    path: "/threads/:id/details",
    name: "thread-details",
    component: () => import("./threads/DetailsPage.vue"),
    props: true,
  },
  { path: "/hidden", name: "hidden", component: () => import("./threads/HiddenPage.vue") },
  { path: "/search", name: "search", component: () => import("./search/SearchPage.vue") },
  { path: "/usage", name: "usage", component: () => import("./admin/UsagePage.vue") },
  { path: "/users", name: "users", component: () => import("./admin/UsersPage.vue"), meta: { isForAdmins: true } },
  { path: "/health", name: "health", component: () => import("./admin/HealthPage.vue"), meta: { isForAdmins: true } },
  ...agentRoutes,
  ...interfaceRoutes,
  { path: "/sign-in", name: "sign-in", component: () => import("./pages/SignInPage.vue") },
  { path: "/:path(.*)*", redirect: "/" },
];

export const NAVIGATION: { name: string; label: ConsoleKey; icon: IconName }[] = [
  { name: "home", label: "home", icon: "plus" },
  { name: "search", label: "search", icon: "search" },
  { name: "agents", label: "agents", icon: "agent" },
  { name: "interfaces", label: "interfaces", icon: "shop" },
  { name: "usage", label: "usage", icon: "chart" },
  { name: "users", label: "users", icon: "people" },
  { name: "health", label: "health", icon: "pulse" },
];

export function routerOf(account: Account) {
  const router = createRouter({ history: createWebHistory("/console/"), routes });
  router.beforeEach((to) => {
    if (to.meta.isForAdmins && account.user.value?.role === "user") return { name: "home" };
    if (account.user.value === null && to.name !== "sign-in") return { name: "sign-in", query: { to: to.fullPath } };
    return true;
  });
  return router;
}
