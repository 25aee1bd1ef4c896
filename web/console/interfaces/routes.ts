import type { RouteRecordRaw } from "vue-router";

export const interfaceRoutes: RouteRecordRaw[] = [
  { path: "/interfaces", name: "interfaces", component: () => import("./InterfacesPage.vue") },
  { path: "/interfaces/:id", name: "interface", component: () => import("./InterfacePage.vue"), props: true },
  {
    path: "/interfaces/:id/preview",
    name: "interface-preview",
    component: () => import("./PreviewPage.vue"),
    props: true,
  },
  {
    path: "/interfaces/:id/sessions",
    name: "interface-sessions",
    component: () => import("./SessionsPage.vue"),
    props: true,
  },
  {
    path: "/interfaces/:id/sessions/:session",
    name: "transcript",
    component: () => import("./TranscriptPage.vue"),
    props: true,
  },
  {
    path: "/interfaces/:id/analytics",
    name: "interface-analytics",
    component: () => import("./AnalyticsPage.vue"),
    props: true,
  },
];
