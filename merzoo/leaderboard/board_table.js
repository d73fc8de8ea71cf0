"use strict";
// The table: sorting, filters, columns. DataTables sorts and pages the rows that the page came with; headings are set between them again after each draw.
const board = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const wide = document.documentElement;
const PAGE = 50;  // rows; laying out many more takes longer than a reader waits for a sort
board.changed = [];  // called with the positions of the rows that pass the filters

if ($("board")) {
  const table = $("board");
  const keys = [...table.tHead.rows[0].cells].map((th) => /\bc-(\w+)/.exec(th.className)[1]);
  const headings = [...table.querySelectorAll("tr.group")];
  headings.forEach((row) => row.remove());

  const text = {
    model: (row) => row.model,
    where: (row) => [row.filters.data, row.filters.protocol].filter(Boolean).join(" "),
    how: (row) => [row.filters.precision, row.filters.mode].filter(Boolean).join(" "),
  };
  const value = (row, key) => (key in row.numbers ? row.numbers[key] : (text[key] ? text[key](row) : row.filters[key]) || null);
  // Groups stay apart and references below, whichever column is sorted and which way; what is missing comes last.
  const apart = (a, b) => a.group - b.group || a.reference - b.reference || (a.value === null) - (b.value === null);
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  DataTable.type("apart", { order: {
    asc: (a, b) => apart(a, b) || (a.value === null ? 0 : compare(a.value, b.value)),
    desc: (a, b) => apart(a, b) || (a.value === null ? 0 : compare(b.value, a.value)),
  } });

  const searched = new Set(["model", "preset", "where", "device", "how", "status"]);
  const columns = keys.map((key) => ({
    type: "apart",
    searchable: searched.has(key),
    orderSequence: /\bn\b/.test(table.tHead.rows[0].cells[keys.indexOf(key)].className) || key === "score" ? order(key) : ["asc", "desc"],
    render: (data, type, _, cell) => {
      if (type !== "sort" && type !== "type") return data;
      const row = board.rows[cell.row];
      return { group: row.group, reference: +row.reference, value: value(row, key) };
    },
  }));
  function order(key) {
    return ["score", "oracle", "uar", "accuracy", "seeds", "throughput", "floor", "reported"].includes(key) ? ["desc", "asc"] : ["asc", "desc"];
  }

  const selects = [...document.querySelectorAll("select[data-filter]")];
  const passes = (row) => selects.every(({ value, dataset }) => !value || row.filters[dataset.filter] === null || row.filters[dataset.filter] === value);
  board.passes = passes;

  function setDefaults() {
    for (const select of selects) select.value = board.defaults[select.dataset.filter] || "";
    $("find").value = "";
  }
  setDefaults();

  const pages = board.rows.length > PAGE;
  const data = new DataTable(table, {
    autoWidth: false, columns, order: [[keys.indexOf("score"), "desc"]], orderMulti: false, orderDescReverse: false, pageLength: PAGE, paging: pages,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: pages ? "paging" : null },
    language: { emptyTable: "No row", zeroRecords: "No row passes the filters", aria: { orderable: ": sort", orderableReverse: ": sort the other way", orderableRemove: ": sort the other way" } },
    drawCallback() { setHeadings(); },
  });
  board.table = data;
  data.search.fixed("filters", (_text, _row, index) => passes(board.rows[index]));

  function setHeadings() {
    const api = new DataTable.Api(table);
    table.querySelectorAll("tr.group").forEach((row) => row.remove());
    let before = {};
    api.rows({ page: "current" }).every(function () {
      const row = board.rows[this.index()];
      const put = (heading) => heading && this.node().before(heading);
      if (row.group !== before.group) put(headings.find((one) => one.dataset.group === String(row.group)));
      if (row.reference && (!before.reference || row.group !== before.group)) put(headings.find((one) => one.dataset.apart === String(row.group)));
      before = row;
    });
  }

  // Columns: those that a filter has made the same in every row go first, then the lesser ones until the rest fits.
  const lesser = ["seeds", "accuracy", "flops", "memory", "p95", "floor", "training", "reported", "status", "uar", "throughput", "preset", "how", "device", "where", "parameters", "views", "p50"];
  const wanted = new Map();  // what the reader chose
  const sheet = document.head.appendChild(document.createElement("style"));
  function fit() {
    const set = (key) => selects.some((select) => select.dataset.filter === key && (select.value || select.options.length === 2));
    const shown = board.rows.filter((_, index) => visible.has(index));
    const empty = (key) => shown.every((row) => value(row, key) === null);
    const hidden = new Set(keys.filter((key) => key !== "model" && key !== "score" && key !== "oracle" && empty(key)));
    if (set("data") && set("protocol")) hidden.add("where");
    if (set("device")) hidden.add("device");
    if (set("precision") && set("mode")) hidden.add("how");
    for (const [key, on] of wanted) on ? hidden.delete(key) : hidden.add(key);
    const apply = () => { sheet.textContent = [...hidden].map((key) => `.board .c-${key}{display:none}`).join(""); };
    apply();
    const frame = table.closest(".scroll");
    for (const key of lesser) {
      if (table.scrollWidth <= frame.clientWidth) break;
      if (!keys.includes(key) || wanted.has(key) || hidden.has(key)) continue;
      hidden.add(key);
      apply();
    }
    const left = keys.filter((key) => !hidden.has(key) && (key !== "oracle" || wide.classList.contains("with-oracle"))).length;
    headings.forEach((row) => { row.cells[0].colSpan = left; });
    for (const box of $("columns").querySelectorAll("input")) box.checked = !hidden.has(box.value);
  }
  keys.forEach((key, index) => {
    if (key === "model" || key === "score" || key === "oracle") return;
    const label = document.createElement("label"), box = document.createElement("input");
    Object.assign(box, { type: "checkbox", value: key });
    box.addEventListener("change", () => { wanted.set(key, box.checked); fit(); });
    label.append(box, table.tHead.rows[0].cells[index].title ? `${data.column(index).title()}`.replace(/<[^>]*>/g, " ") : key);
    $("columns").append(label);
  });

  let visible = new Set();
  function update() {
    data.search($("find").value).draw();
    const indexes = data.rows({ search: "applied" }).indexes().toArray();
    visible = new Set(indexes);
    const groups = new Set(indexes.map((index) => board.rows[index].group).filter((group) => group < board.groups.length));
    $("shown").textContent = `${indexes.length} of ${board.rows.length} rows` + (groups.size > 1 ? `, under ${groups.size} headings: scores of different headings cannot be compared` : "");
    fit();
    board.changed.forEach((call) => call(indexes));
  }
  board.update = update;

  for (const select of selects) select.addEventListener("change", () => {
    const protocol = selects.find((one) => one.dataset.filter === "protocol");
    if (select.dataset.filter === "data" && protocol && select.value && !board.rows.some((row) => row.filters.data === select.value && passes(row))) protocol.value = "";
    update();
  });
  $("find").addEventListener("input", update);
  $("reset").addEventListener("click", () => { setDefaults(); wanted.clear(); data.order([[keys.indexOf("score"), "desc"]]); update(); });
  $("oracle")?.addEventListener("change", (event) => { wide.classList.toggle("with-oracle", event.target.checked); fit(); });
  document.addEventListener("click", (event) => {
    const chooser = document.querySelector(".chooser[open]");
    if (chooser && !chooser.contains(event.target)) chooser.open = false;
  });
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(fit, 100); });
  if ($("oracle")) $("oracle").checked = false;
  data.on("page", () => setTimeout(fit));
  addEventListener("DOMContentLoaded", update);
}
