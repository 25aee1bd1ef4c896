import vue from "eslint-plugin-vue";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules/"] },
  ...tseslint.configs.strict,
  ...tseslint.configs.stylistic,
  ...vue.configs["flat/recommended"],
  { files: ["**/*.vue"], languageOptions: { parserOptions: { parser: tseslint.parser } } },
  {
    rules: {
      complexity: ["error", 12],
      "max-lines": ["error", 350],
      "max-lines-per-function": ["error", { max: 80 }],
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "HTML enters the page by way of cleaning.ts." },
        { property: "outerHTML", message: "HTML enters the page by way of cleaning.ts." },
        { property: "insertAdjacentHTML", message: "HTML enters the page by way of cleaning.ts." },
      ],
      "vue/no-v-html": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-empty-function": "off",
      // The formatter's business.
      "vue/max-attributes-per-line": "off",
      "vue/singleline-html-element-content-newline": "off",
      "vue/multiline-html-element-content-newline": "off",
      "vue/html-self-closing": "off",
      "vue/html-indent": "off",
      "vue/html-closing-bracket-newline": "off",
      // What a component is given may be left out, which `undefined` says well enough.
      "vue/require-default-prop": "off",
      "vue/attributes-order": "off",
    },
  },
  // A conversation's state and what may be done with it stand in one closure.
  { files: ["chat/conversation.ts", "**/*.test.ts"], rules: { "max-lines-per-function": "off" } },
  {
    files: ["chat/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ regex: "/(page|console|widget)/", message: "The chat element knows no page." }] },
      ],
    },
  },
);
