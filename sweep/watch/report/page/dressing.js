"use strict";
// Draws figures in the dress that their reader prefers. Colours in them are names of CSS variables.
// A plain script: the report holds it inline, pages of `sweep ui` load it before their modules.

const root = document.documentElement;
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

function dressed(value) {
  if (typeof value === "string") return value.startsWith("--") ? css(value) : value;
  if (Array.isArray(value)) return typeof value[0] === "number" && typeof value[1] !== "string" ? value : value.map(dressed);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, dressed(each)]));
  }
  return value;
}

function axis(own) {
  const title = typeof own.title === "string" ? { text: own.title } : own.title;
  const line = css("--line");
  return { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...dressed(own), title };
}

function layoutOf(own) {
  const layout = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", height: 380,
    uirevision: "kept", font: { color: css("--text"), size: 12, family: getComputedStyle(document.body).fontFamily },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hoverlabel: { bgcolor: css("--panel"), font: { color: css("--text") } },
    ...dressed(own),
    margin: { l: 60, r: 20, t: 40, b: 50, ...(own.margin || {}) },
  };
  for (const name of new Set([...Object.keys(own).filter((key) => /^[xy]axis/.test(key)), "xaxis", "yaxis"])) {
    layout[name] = axis(own[name] || {});
  }
  return layout;
}

const drawn = new Map();

function draw(figure) {
  const place = document.getElementById(`figure-${figure.name}`);
  const settings = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  drawn.set(figure.name, figure);
  return Plotly.react(place, dressed(figure.data), layoutOf(figure.layout), settings);
}

function dress(name) {
  root.dataset.dress = name;
  for (const figure of drawn.values()) draw(figure);
}

const prefers = matchMedia("(prefers-color-scheme: dark)");
root.dataset.dress = prefers.matches ? "dark" : "light";
prefers.addEventListener("change", () => dress(prefers.matches ? "dark" : "light"));
document.getElementById("dress").addEventListener("click", () => dress(root.dataset.dress === "dark" ? "light" : "dark"));
