"use strict";
// Without this script the page reads the same: tables stand in the order of the report.
const size = (cell) => {
  const plain = cell.innerHTML.replace(/[,\s()]|&nbsp;/g, "");
  const found = plain.match(/^([\d.]+)(?:\u00d710<sup>(\u2212?\d+)<\/sup>)?/);
  if (!found) return -Infinity;
  return Math.log10(Number(found[1])) + Number((found[2] || "0").replace("\u2212", "-"));
};
const sortBy = (table, column, descending) => {
  const body = table.tBodies[0];
  const isNumber = table.tHead.rows[0].cells[column].classList.contains("number");
  const compare = (a, b) =>
    isNumber
      ? size(a.cells[column]) - size(b.cells[column]) || 0
      : a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
  const rows = [...body.rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  body.append(...rows);
};
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  if (table.tBodies[0].rows.length < 2) continue;
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortBy(table, column, descending);
    });
    head.append(button);
  });
}
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
});
