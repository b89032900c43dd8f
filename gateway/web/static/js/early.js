// Before the page is drawn: its theme, or it would flash. Not a module, because those wait.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => {
    try {
      return localStorage.getItem("theme") || "system";
    } catch {
      return "system"; // Storage is forbidden in some private windows.
    }
  };
  const apply = () => {
    const theme = wanted();
    document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  };
  dark.addEventListener("change", apply);
  addEventListener("theme", apply);
  apply();
})();
