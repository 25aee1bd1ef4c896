import type { RouteRecordRaw } from "vue-router";

const agentPage = () => import("./AgentPage.vue");

export const agentRoutes: RouteRecordRaw[] = [
  { path: "/agents", name: "agents", component: () => import("./AgentsPage.vue") },
  { path: "/agents/new", name: "new-agent", component: agentPage, props: { id: null } },
  { path: "/agents/:id", name: "agent", component: agentPage, props: true },
];
