"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const { runs, health } = read("data");
  const confusions = read("confusions");
  const at = (id) => document.getElementById(id);
  const colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999"];
  const dashes = ["solid", "dash", "dashdot", "dot"];
  const system = matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  const layout = (more) => {
    const css = getComputedStyle(document.documentElement);
    const [fore, line] = ["--fore", "--line"].map((name) => css.getPropertyValue(name).trim());
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: fore, size: 13 },
      margin: { l: 50, r: 10, t: 30, b: 40 }, hovermode: "closest", legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, ...more,
      xaxis: { ...axis, ...(more.xaxis || {}) }, yaxis: { ...axis, ...(more.yaxis || {}) },
    };
  };

  // Exponential mean, corrected for its start; 0 leaves the values as they are.
  const smoothed = (values, weight) => {
    let sum = 0, norm = 0;
    return values.map((value) => {
      if (value === null) return null;
      sum = weight * sum + (1 - weight) * value;
      norm = weight * norm + (1 - weight);
      return sum / norm;
    });
  };

  const text = (select) => select.options[select.selectedIndex].text;
  const style = (index) => ({ color: colours[index % colours.length], dash: dashes[index % dashes.length], width: 2 });

  const drawCurves = () => {
    const measure = at("measure"), axis = at("axis"), weight = Number(at("smooth").value);
    const traces = runs.map((run, index) => ({
      x: run[axis.value], y: smoothed(run[measure.value], weight), name: run.label, mode: "lines+markers",
      line: style(index), hovertemplate: "%{y:.4g} at %{x:.4g}<extra>%{fullData.name}</extra>",
    }));
    const longest = Math.max(...runs.map((run) => run.epoch.length));
    Plotly.react("chart", traces, layout({
      xaxis: { title: { text: text(axis) }, dtick: axis.value === "epoch" && longest < 12 ? 1 : undefined },
      yaxis: { title: { text: text(measure) }, type: at("log").checked ? "log" : "linear" },
    }), config);
  };

  const quantities = {
    rank_after: "effective rank after", rank_before: "effective rank before", condition_before: "condition before",
    condition_after: "condition after", gain: "largest gain", mean_distance: "distance of the running mean",
    whitening_distance: "distance of the running whitening", rows_per_feature: "rows a feature",
    dead_channels: "dead channels", time_share: "share of a step's time",
  };
  const drawHealth = () => {
    const run = health[Number(at("health-run").value)], quantity = at("quantity").value;
    const traces = Object.entries(run.layers).map(([name, series], index) => ({
      x: series.step, y: series[quantity], name, mode: "lines+markers", line: style(index),
      hovertemplate: "%{y:.4g} at step %{x}<extra>%{fullData.name}</extra>",
    }));
    Plotly.react("health-chart", traces, layout({
      xaxis: { title: { text: "steps" } },
      yaxis: { title: { text: quantities[quantity] }, type: quantity.startsWith("condition") ? "log" : "linear" },
    }), config);
  };

  const drawConfusion = (place) => {
    const { matrix, names } = confusions[place.dataset.run];
    const dark = document.documentElement.dataset.theme === "dark";
    const scale = dark ? [[0, "#16181b"], [1, "#7cc4f5"]] : [[0, "#ffffff"], [1, "#00558c"]];
    Plotly.react(place, [{
      z: matrix, x: names, y: names, type: "heatmap", colorscale: scale, xgap: 1, ygap: 1, showscale: false,
      texttemplate: names.length < 16 ? "%{z}" : "", hovertemplate: "%{y} seen as %{x}: %{z}<extra></extra>",
    }], layout({
      xaxis: { title: { text: "seen as" }, type: "category" },
      yaxis: { title: { text: "is" }, type: "category", autorange: "reversed" },
    }), config);
  };

  const draw = () => {
    drawCurves();
    if (health.length) drawHealth();
    document.querySelectorAll(".confusion").forEach(drawConfusion);
  };

  const theme = (name) => {
    document.documentElement.dataset.theme = name;
    at("theme").textContent = name === "dark" ? "Light" : "Dark";
    at("theme").setAttribute("aria-pressed", String(name === "dark"));
    draw();
  };

  if (health.length) {
    health.forEach((run, index) => at("health-run").add(new Option(run.label, index)));
    Object.entries(quantities).forEach(([key, name]) => at("quantity").add(new Option(name, key)));
    ["health-run", "quantity"].forEach((id) => at(id).addEventListener("input", drawHealth));
  }
  ["measure", "axis", "smooth", "log"].forEach((id) => at(id).addEventListener("input", drawCurves));
  document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));
  at("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  system.addEventListener("change", (event) => theme(event.matches ? "dark" : "light"));
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    theme("light");
  });
  theme(system.matches ? "dark" : "light");
})();
