"use strict";
// Draws the curves of the report from the JSON beside it. Text reaches the page through textContent only.
(() => {
  const run = JSON.parse(document.getElementById("run-data").textContent);
  const tools = document.querySelector(".tools");
  const charts = [];
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;
  const isLog = () => document.getElementById("log-y").checked;

  const three = (number) => Number(number.toPrecision(3)).toString();
  const short = (number) => {
    for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
      if (Math.abs(number) >= size) return three(number / size) + " " + unit;
    }
    return three(number);
  };
  const clock = (seconds) => {
    const whole = Math.round(seconds);
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  };
  const small = (number) => (number !== 0 && Math.abs(number) < 0.001 ? number.toExponential(1) : three(number));
  // As many decimals as the distance between two ticks has, so that the labels of an axis line up.
  const even = (number, apart) => number.toFixed((String(apart).split(".")[1] ?? "").length);
  const X = {
    elapsed_s: { label: "time", show: clock, steps: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 432000, 864000] },
    tokens: { label: run.unit, show: short },
    step: { label: "step", show: (number) => Math.round(number).toLocaleString("en") },
  };

  // Loss is stored as it was minimised, for text in nats per token; one bit per byte is ln 2 × bytes per token of them.
  const lossUnit = () => (chosen("y") === "bits" ? 1 / (Math.LN2 * run.bytes_per_token) : 1);
  const scaled = (values, factor) => values.map((value) => (value === null ? null : value * factor));

  const axis = (extra) => ({
    stroke: color("--soft"), font: "12px system-ui, sans-serif", size: 40,
    grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, ...extra,
  });
  const line = (label, stroke, width, show) => ({
    label, stroke, width, points: { show: false }, spanGaps: true,
    value: (_, value) => (value === null || value === undefined ? "–" : show(value)),
  });
  // A reading between two validation points takes the nearer one; the mark on the chart says which.
  const nearest = (chart, series, at) => {
    const values = chart.data[series];
    for (let away = 0; away < values.length; away += 1) {
      if (values[at - away] != null) return at - away;
      if (values[at + away] != null) return at + away;
    }
    return at;
  };
  const dots = (label, stroke, size, show) => ({
    ...line(label, stroke, 0, show), paths: () => null,
    points: { show: true, size, stroke, fill: stroke, width: 1 },
  });

  // A level across the loss chart: what the 5-gram model scores on the same text.
  const level = (height, label) => (chart) => {
    const y = Math.round(chart.valToPos(height, "y", true));
    const { left, top, width, height: tall } = chart.bbox;
    if (y < top || y > top + tall) return;
    const { ctx } = chart;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = color("--rule");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    ctx.fillText(label, left + width - 4 * devicePixelRatio, y - 3 * devicePixelRatio);
    ctx.restore();
  };

  const lossChart = (curve, x) => {
    const unit = lossUnit();
    const sparse = []; // series with a value at few points
    const three_digits = (number) => number.toFixed(3);
    const data = [curve[x], scaled(curve.loss, unit), scaled(curve.smooth, unit)];
    const series = [line("raw", color("--raw"), 1, three_digits), line("smoothed", color("--accent"), 2, three_digits)];
    if (curve.val_loss.some((value) => value !== null)) {
      data.push(scaled(curve.val_loss, unit));
      sparse.push(series.length + 1);
      series.push(dots("validation, estimated", color("--warm"), 7, three_digits));
    }
    const bits = chosen("y") === "bits" ? 1 : Math.LN2 * (run.bytes_per_token ?? NaN);
    if (run.val_bpb !== null && Number.isFinite(bits)) {
      sparse.push(series.length + 1);
      data.push(curve[x].map((_, at) => (at === curve[x].length - 1 ? run.val_bpb * bits : null)));
      series.push({ ...dots("validation, whole text", color("--warm"), 12, three_digits),
        points: { show: true, size: 13, stroke: color("--warm"), fill: color("--card"), width: 3 } });
    }
    const hooks = {};
    if (run.baseline_bpb !== null && Number.isFinite(bits)) {
      hooks.draw = [level(run.baseline_bpb * bits, "byte 5-gram " + (run.baseline_bpb * bits).toFixed(2))];
    }
    return { data, series, sparse, hooks, show: three_digits, log: isLog() };
  };
  const plainChart = (name, label, show) => (curve, x) => ({
    data: [curve[x], curve[name]], series: [line(label, color("--accent"), 1.25, show)], sparse: [], hooks: {}, show, zero: true,
  });
  const KINDS = {
    loss: lossChart,
    tokens_per_s: plainChart("tokens_per_s", `${run.unit}/s`, short),
    lr: plainChart("lr", "rate", small),
    grad_norm: plainChart("grad_norm", "norm", small),
  };

  const scaleOf = ({ log, zero }) => {
    if (log) return { distr: 3, range: (_, low, high) => [low * 0.96, high * 1.04] };
    return { range: (_, low, high) => {
      if (low === null) return [0, 1];
      const room = (high - low || Math.abs(high) || 1) * 0.06;
      return [zero ? Math.min(0, low) : low - room, high + room];
    } };
  };
  // Round numbers between the ends of a logarithmic axis that spans less than two decades.
  const logTicks = (_, __, low, high) => {
    const ticks = [1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8].flatMap((digit) => [0.01, 0.1, 1, 10, 100].map((size) => digit * size));
    return ticks.filter((tick) => tick >= low && tick <= high).sort((a, b) => a - b);
  };

  const build = (place) => {
    const x = chosen("x") ?? "elapsed_s";
    const chart = KINDS[place.dataset.chart](run.curves[place.dataset.chart], x);
    const isWide = place.dataset.chart === "loss";
    // Where no reading is taken, the numbers under the chart are those of the end.
    const last = chart.data[0].length - 1;
    const ends = chart.data.map((_, series) => (chart.sparse.includes(series) ? nearest(chart, series, last) : last));
    const rest = (plot) => { if (plot.cursor.idx == null) plot.setLegend({ idxs: ends }); };
    const plot = new uPlot({
      width: place.clientWidth, height: isWide ? Math.max(240, Math.min(380, place.clientWidth * 0.42)) : 190,
      padding: [10, 14, 0, 0], hooks: { ...chart.hooks, setCursor: [rest], ready: [rest] },
      legend: { live: true, markers: { width: 0, fill: (plot, at) => plot.series[at].stroke() } },
      cursor: { dataIdx: (plot, series, at) => (chart.sparse.includes(series) ? nearest(plot, series, at) : at), sync: { key: "run", scales: ["x", null] }, points: { size: 7 }, drag: { x: true, y: false } },
      scales: { x: { time: false }, y: scaleOf(chart) },
      axes: [
        axis({ size: 34, space: isWide ? 70 : 52, incrs: X[x].steps, values: (_, ticks) => ticks.map(X[x].show) }),
        axis({ size: 54, splits: chart.log ? logTicks : undefined, filter: chart.log ? (_, ticks) => ticks : undefined,
          values: (_, ticks, __, ___, apart) => ticks.map((tick) => (isWide ? even(tick, chart.log ? 0.1 : apart) : chart.show(tick))) }),
      ],
      series: [{ label: X[x].label, value: (_, value) => (value === null || value === undefined ? "–" : X[x].show(value)) }, ...chart.series],
    }, chart.data, place);
    charts.push({ plot, place });
  };
  const rebuild = () => {
    for (const { plot } of charts.splice(0)) plot.destroy();
    for (const place of document.querySelectorAll("[data-chart]")) build(place);
  };

  // Arrow keys move the reading, for those without a mouse; the values are spoken through the live region.
  const read = (place, by) => {
    const { plot } = charts.find((chart) => chart.place === place);
    const last = plot.data[0].length - 1;
    const at = Math.max(0, Math.min(last, (plot.cursor.idx ?? (by > 0 ? -1 : last + 1)) + by));
    plot.setCursor({ left: plot.valToPos(plot.data[0][at], "x"), top: plot.bbox.height / devicePixelRatio / 2 });
    const rows = [...place.querySelectorAll(".u-legend .u-series")];
    document.getElementById("reading").textContent = rows.map((row) => [...row.children].map((cell) => cell.textContent).join(": ")).join(", ");
  };
  for (const place of document.querySelectorAll("[data-chart]")) {
    place.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25, Home: -1e9, End: 1e9 }[event.key];
      if (!step) return;
      event.preventDefault();
      read(place, step);
    });
  }

  if (tools === null) return;
  tools.hidden = false;
  tools.addEventListener("change", rebuild);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  rebuild();
  const room = document.querySelector(".charts");
  let width = room.clientWidth;
  new ResizeObserver(() => {
    if (room.clientWidth !== width) { width = room.clientWidth; rebuild(); }
  }).observe(room);
})();
