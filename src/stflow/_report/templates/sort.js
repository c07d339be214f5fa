for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const value = (row) => row.cells[at].textContent.trim();
      const number = (row) => parseFloat(value(row).replace(/[,<]/g, ""));
      const known = (row) => Number(Number.isNaN(number(row)));
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.some((row) => !known(row)) && at > 0;
      rows.sort((a, b) => numeric
        ? known(a) - known(b) || sign * (number(a) - number(b) || 0)
        : sign * value(a).localeCompare(value(b)));
      table.tBodies[0].append(...rows);
    });
  });
}
