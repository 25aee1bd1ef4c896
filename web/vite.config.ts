import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vitest/config";

/** The pages' scripts and styles, with names that follow from their content. The widget's loader is built apart. */
export default defineConfig({
  plugins: [vue()],
  base: "/assets/",
  publicDir: false,
  define: { __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false" },
  build: {
    outDir: "../src/frontdesk/built",
    emptyOutDir: true,
    manifest: "manifest.json",
    assetsDir: "",
    target: "es2022",
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { page: "page/main.ts", console: "console/main.ts", shared: "shared/main.ts" },
      output: { entryFileNames: "[name]-[hash].js", chunkFileNames: "[name]-[hash].js" },
    },
  },
  test: { include: ["**/*.test.ts"], testTimeout: 60_000 },
});
