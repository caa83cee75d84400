// What tsc does not see in the script of the HTML report. Its parts are plain scripts that share one scope, in which
// tsc looks up names; so names that are declared elsewhere are no matter of eslint's.

import js from "@eslint/js";

export default [
  {
    files: ["pytest_gpupool/reports/html/script/*.js"], // from the root, where eslint is started
    languageOptions: { ecmaVersion: 2022, sourceType: "script" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...js.configs.recommended.rules,
      "no-undef": "off", // tsc knows the names of all parts
      "no-unused-vars": ["error", { vars: "local", caughtErrors: "all" }], // what is declared at the top is for other parts
      "array-callback-return": "error",
      curly: ["error", "multi-line", "consistent"],
      eqeqeq: "error",
      "no-eval": "error",
      "no-implicit-coercion": "error",
      "no-implied-eval": "error",
      "no-param-reassign": "error",
      "no-shadow": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
];
