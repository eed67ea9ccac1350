// The table of images is sorted by a click on a column's name and filtered; cards follow. All is there without it, too.
(() => {
  const table = document.getElementById("images");
  const tools = document.getElementById("tools");
  if (!table || !tools) return;
  const rows = [...table.tBodies[0].rows].map((row) => ({
    row,
    card: document.getElementById(row.dataset.card || ""),
    name: row.cells[0].textContent.toLowerCase(),
    is: (row.dataset.is || "").split("|"),
  }));
  const cards = document.getElementById("cards");
  const [find, show, count] = ["input", "select", "output"].map((name) => tools.querySelector(name));

  function filter() {
    const word = find.value.trim().toLowerCase();
    let there = 0;
    for (const one of rows) {
      const good = one.name.includes(word) && (!show.value || one.is.includes(show.value));
      one.row.hidden = !good;
      if (one.card) one.card.hidden = !good;
      there += good;
    }
    count.textContent = there.toLocaleString("en") + " of " + rows.length.toLocaleString("en");
  }

  function value(one, column) {
    const said = one.row.cells[column]?.dataset.v ?? "";
    return said === "" ? null : isNaN(said) ? said.toLowerCase() : Number(said);
  }

  function sort(column, sign) {
    const keyed = rows.map((one, n) => [value(one, column), n, one]);
    keyed.sort(([a, n], [b, m]) => {
      if (a === null || b === null) return (a === null) - (b === null) || n - m;
      return a === b ? n - m : sign * (a < b ? -1 : 1);
    });
    table.tBodies[0].append(...keyed.map(([, , one]) => one.row));
    if (cards) cards.append(...keyed.map(([, , one]) => one.card).filter((card) => card));
  }

  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (!("sort" in cell.dataset)) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const up = cell.ariaSort ? cell.ariaSort === "descending" : cell.dataset.sort === "up";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.ariaSort = up ? "ascending" : "descending";
      sort(column, up ? 1 : -1);
    });
  });
  find.addEventListener("input", filter);
  show.addEventListener("change", filter);
  tools.hidden = false;
  filter();
})();
