"use strict";
// The pictures, all by plotly: score against latency, and the curves of a panel. Names are strangers' text, and plotly reads tags in text: they are escaped.
const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const short = (name) => (name.length > 28 ? `${name.slice(0, 27)}…` : name);
const three = (number) => (number >= 1000 ? Math.round(number).toLocaleString("en") : Number(number.toPrecision(3)).toString());
const dark = matchMedia("(prefers-color-scheme: dark)");
const look = () => {
  const style = getComputedStyle(document.documentElement), of = (name) => style.getPropertyValue(name).trim();
  // Okabe and Ito's colours, those first that stand out from the ground
  const colours = dark.matches ? ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#e8e8e4"] : ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1c1e21"];
  return { ink: of("--ink"), muted: of("--muted"), line: of("--line"), card: of("--card"), colours };
};
const SHAPES = ["circle", "diamond", "square", "triangle-up", "cross", "x", "star", "triangle-down"];
const QUIET = { displayModeBar: false, responsive: true };
const faint = (colour, opacity) => `rgba(${[1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)).join(",")},${opacity})`;
const axis = (of, more) => ({ gridcolor: of.line, zeroline: false, linecolor: of.line, tickfont: { color: of.muted }, fixedrange: true, ...more });
const layout = (of, more) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest", font: { family: "system-ui, sans-serif", size: 12, color: of.ink },
  hoverlabel: { bgcolor: of.card, bordercolor: of.muted, font: { color: of.ink }, align: "left" }, ...more,
});

/* Points of one device that no other is both quicker and better than, quickest first. */
function front(points) {
  const found = [];
  for (const one of [...points].sort((a, b) => a.x - b.x || b.y - a.y)) if (!found.length || one.y > found.at(-1).y) found.push(one);
  return found;
}

/* Where each label stands, so that labels and points keep clear of one another: the first of six places that is free, or none. */
function places(points, first, spot) {
  const taken = points.map((one) => { const [x, y] = spot(one); return [x - 6, y - 6, x + 6, y + 6]; });
  const free = (box) => taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
  const where = new Map();
  for (const one of first) {
    const [x, y] = spot(one), wide = 6.4 * short(one.row.model).length;
    const right = [x + 5, x + 5 + wide], left = [x - 5 - wide, x - 5], above = [y - 21, y - 7], below = [y + 7, y + 21];
    const box = ([x0, x1], [y0, y1]) => [x0, y0, x1, y1];
    const all = { "top right": box(right, above), "bottom right": box(right, below), "top left": box(left, above), "bottom left": box(left, below),
      "middle right": box([x + 9, x + 9 + wide], [y - 7, y + 7]), "middle left": box([x - 9 - wide, x - 9], [y - 7, y + 7]) };
    const fit = Object.entries(all).find(([, box]) => box[0] > 0 && box[2] < spot.width && free(box));
    if (fit) { where.set(one, fit[0]); taken.push(fit[1]); }
  }
  return where;
}

function drawPareto(indexes) {
  const all = indexes.map((index) => board.rows[index]).filter((row) => row.numbers.score !== null && row.numbers.p50 !== null && !row.reference);
  $("picture-frame").hidden = !all.length;
  if (!all.length) return;
  const counted = new Map();
  all.forEach((row) => counted.set(row.group, (counted.get(row.group) || 0) + 1));
  const most = [...counted].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0][0], group = board.groups[most];
  const points = all.filter((row) => row.group === most).map((row) => ({ row, x: row.numbers.p50, y: row.numbers.score }));
  const devices = [...new Set(points.map((one) => one.row.filters.device))];
  const fronts = devices.map((device) => front(points.filter((one) => one.row.filters.device === device)));
  const best = new Set(fronts.flat());
  const kind = (one) => ["device", "precision", "mode"].map((key) => one.row.filters[key]).join(", ");
  const kinds = [...new Set(points.map(kind))].sort();

  const of = look(), node = $("picture"), box = node.getBoundingClientRect(), small = box.width < 640;
  const margin = { l: small ? 44 : 60, r: 16, t: kinds.length > 1 ? 34 : 14, b: 56 };
  const lows = points.map((one) => one.row.interval[0]), highs = points.map((one) => one.row.interval[1]), lines = Object.entries(group.references);
  const bottom = Math.max(0, Math.min(...lows, ...lines.map(([, y]) => y)) - 0.04), top = Math.min(1.02, Math.max(...highs, ...lines.map(([, y]) => y)) + 0.04);
  const left = Math.log10(Math.min(...points.map((one) => one.x))), right = Math.log10(Math.max(...points.map((one) => one.row.numbers.p95 ?? one.x)));
  const room = Math.max(0.12, (right - left) * 0.08), from = left - room, to = right + room * (small ? 2.5 : 1.6);
  const spot = (one) => [((Math.log10(one.x) - from) / (to - from)) * (box.width - margin.l - margin.r), (1 - (one.y - bottom) / (top - bottom)) * (box.height - margin.t - margin.b)];
  spot.width = box.width - margin.l - margin.r;
  const where = places(points, [...best, ...points.filter((one) => !best.has(one))].slice(0, 60), spot);

  const traces = kinds.map((name, at) => {
    const mine = points.filter((one) => kind(one) === name), colour = of.colours[at % of.colours.length];
    const bars = { color: faint(colour, 0.45), thickness: 1.2, width: 3 };
    return {
      type: "scatter", mode: "markers+text", name: escaped(name), x: mine.map((one) => one.x), y: mine.map((one) => one.y), customdata: mine.map((one) => one.row.panel),
      text: mine.map((one) => (where.has(one) ? escaped(short(one.row.model)) : "")), textposition: mine.map((one) => where.get(one) || "top center"), textfont: { color: of.ink, size: small ? 10.5 : 12 }, cliponaxis: false,
      marker: { color: mine.map((one) => (best.has(one) ? colour : of.card)), symbol: SHAPES[at % SHAPES.length], size: 10, line: { color: colour, width: 2 } },
      error_y: { ...bars, array: mine.map((one) => one.row.interval[1] - one.y), arrayminus: mine.map((one) => one.y - one.row.interval[0]) },
      error_x: { ...bars, array: mine.map((one) => (one.row.numbers.p95 ?? one.x) - one.x), arrayminus: mine.map(() => 0) },
      hoverinfo: "text", hovertext: mine.map((one) => `<b>${escaped(one.row.model)}</b> ${escaped(one.row.filters.preset)}<br>${escaped(group.metric)} ${one.y.toFixed(3)} [${one.row.interval.map((s) => s.toFixed(3)).join(", ")}]<br>p50 ${three(one.x)} ms, p95 ${one.row.numbers.p95 === null ? "–" : three(one.row.numbers.p95)} ms${one.row.by ? `, measured by ${escaped(one.row.by)}` : ""}<br>${escaped(name)}`),
    };
  });
  const drawn = fronts.map((found) => ({ type: "scatter", mode: "lines", x: found.map((one) => one.x), y: found.map((one) => one.y), line: { shape: "hv", color: of.muted, width: 1.2, dash: "dot" }, hoverinfo: "skip", showlegend: false }));
  const shapes = lines.map(([, y]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: of.muted, width: 1, dash: "dash" } }));
  const annotations = lines.map(([name, y]) => ({ xref: "paper", x: 1, xanchor: "right", y, yanchor: "bottom", showarrow: false, text: `<i>${escaped(short(name))}</i>`, font: { color: of.muted, size: 11 } }));
  const steps = to - from < 2.6 ? [1, 2, 5] : [1], decades = Array.from({ length: Math.ceil(to) - Math.floor(from) }, (_, at) => 10 ** (Math.floor(from) + at));
  const ticks = decades.flatMap((decade) => steps.map((step) => Number((step * decade).toPrecision(1))));
  const titled = (text) => ({ title: { text, font: { color: of.muted, size: 12 } } });
  Plotly.react(node, [...drawn, ...traces], layout(of, {
    margin, shapes, annotations, showlegend: kinds.length > 1, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { color: of.muted } },
    xaxis: axis(of, { type: "log", range: [from, to], tickmode: "array", tickvals: ticks, ticktext: ticks.map(three), ...titled(small ? "latency p50, ms (log)" : "latency p50 of one forward pass at batch 1, ms (log scale)") }),
    yaxis: axis(of, { range: [bottom, top], ...titled(escaped(group.metric)) }),
  }), QUIET);
  if (!node.dataset.heard) {
    node.dataset.heard = "yes";
    node.on("plotly_click", (event) => { if (event.points[0].customdata) location.hash = event.points[0].customdata; });
  }
  describe(group, points, best, counted.size, devices.length);
}

/* The same in words: a caption, a label for who cannot see it, a table. */
function describe(group, points, best, groups, devices) {
  const names = [...best].map((one) => one.row.model);
  $("picture-caption").textContent = `${group.name}: higher and further left is better. Filled: on the front${devices > 1 ? " of their device" : ""} (dashed line), no other is both quicker and better. `
    + `Vertical bars are 95 % intervals of the score, horizontal ones reach from p50 to p95. Making the input, such as optical flow, takes time of its own: see the column Input.${groups > 1 ? " Rows under other headings are not drawn: their scores cannot be compared." : ""}`;
  $("picture").setAttribute("aria-label", `${group.metric} against latency of ${points.length} rows. On the front, quickest first: ${names.join(", ")}.`);
  const rows = [...points].sort((a, b) => a.x - b.x).map((one) => {
    const row = document.createElement("tr"), link = document.createElement("a");
    Object.assign(link, { href: `#${one.row.panel}`, textContent: one.row.model });
    [link, `${one.y.toFixed(3)} [${one.row.interval.map((s) => s.toFixed(3)).join(", ")}]`, `${three(one.x)} ms`, best.has(one) ? "yes" : ""].forEach((content) => row.insertCell().append(content));
    return row;
  });
  $("picture-words").tBodies[0].replaceChildren(...rows);
}

/* Curves of a panel: small pictures side by side, a line a preset with its band. */
function drawCurves(node, plots) {
  const of = look(), across = Math.min(plots.length, node.clientWidth < 560 ? 1 : node.clientWidth < 900 ? 2 : 3), down = Math.ceil(plots.length / across);
  const traces = [], made = { grid: { rows: down, columns: across, pattern: "independent", xgap: 0.18, ygap: 0.36 }, annotations: [] };
  plots.forEach((plot, at) => {
    const n = at ? at + 1 : "", names = { xaxis: `x${n}`, yaxis: `y${n}` };
    plot.lines.forEach((line, which) => {
      const colour = of.colours[which % of.colours.length], x = line.x.map(escaped), edge = (side) => line.y.map((one) => one[side]);
      const quiet = { type: "scatter", x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, ...names };
      traces.push({ ...quiet, y: edge(1) }, { ...quiet, y: edge(2), fill: "tonexty", fillcolor: faint(colour, 0.16) });
      traces.push({ type: "scatter", mode: "lines+markers", name: escaped(line.name), x, y: edge(0), line: { color: colour, width: 2 }, marker: { symbol: SHAPES[which % SHAPES.length], size: 7 }, hoverinfo: "text", showlegend: plot.lines.length > 1,
        hovertext: line.y.map(([value, low, high], i) => `${escaped(line.name)}, ${x[i]}<br>${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`), ...names });
    });
    made[`xaxis${n}`] = axis(of, { type: "category", title: { text: escaped(plot.unit), font: { color: of.muted, size: 11 }, standoff: 6 } });
    made[`yaxis${n}`] = axis(of, { range: [0, 1.02], dtick: 0.25 });
    made.annotations.push({ text: `<b>${escaped(plot.title)}</b> (${escaped(board.metrics[plot.metric] || plot.metric)})`, showarrow: false, xref: `x${n} domain`, yref: `y${n} domain`, x: 0, y: 1.05, xanchor: "left", yanchor: "bottom", font: { size: 12 } });
  });
  Object.assign(node.style, { height: `${down * 230}px`, maxWidth: plots.length === 1 ? "28rem" : "" });
  Plotly.react(node, traces, layout(of, { ...made, margin: { l: 40, r: 12, t: 28, b: 48 }, legend: { orientation: "h", y: 1.12, yanchor: "bottom" } }), QUIET);
}

if ($("picture")) {
  let last = [];
  board.changed.push((indexes) => { last = indexes; drawPareto(indexes); });
  dark.addEventListener("change", () => drawPareto(last));
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(() => drawPareto(last), 150); });
}
