// The table of all trials: sorted, filtered, and changed in place.

import { at, counted, duration, el, keyed, number, say, urlOf } from "./common.js";

const PAGE = 100;
const EVERY_MS = 1000;
const COMPARE = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};
const EXPRESSION = /^\s*([^<>=!]+?)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*$/;

export class TrialTable {
  constructor(study) {
    this.study = study;
    this.rows = new Map();
    this.columns = [];
    this.most = PAGE;
    this.sort = { column: 0, down: true };
    at("filter").addEventListener("input", () => { this.most = PAGE; this.show(); });
    at("only").addEventListener("input", () => { this.most = PAGE; this.show(); });
    at("filters").addEventListener("submit", (event) => event.preventDefault());
    at("more").addEventListener("click", () => { this.most += 2 * PAGE; this.show(); });
  }

  begin(columns, state) {
    this.columns = columns;
    this.rows.clear();
    const heads = columns.map((column, place) => el("th", { scope: "col" },
      el("button", { type: "button", onclick: () => this.sortBy(place) }, column.kind === "seconds" ? "time" : column.title)));
    at("table").tHead.replaceChildren(el("tr", {}, ...heads));
    at("only").replaceChildren(...["", "running", "waiting", "paused", "complete", "stopped", "failed"].map((name) =>
      el("option", { value: name }, name || "all")));
    const metric = columns.find((column) => column.kind === "metric")?.title ?? "trial";
    say(at("example"), `${metric} < 0.5 and state = complete`);
    this.best = state.best?.trial;
  }

  take(rows, state) {
    for (const row of rows) this.rows.set(row[0], row);
    const best = state.best?.trial;
    if (!rows.length && best === this.best && this.shownOnce) return;
    this.best = best;
    // Many events a second make no table that could be read.
    if (!this.shownOnce) this.show();
    else this.timer ??= setTimeout(() => this.show(), EVERY_MS);
  }

  sortBy(column) {
    const down = this.sort.column === column ? !this.sort.down : this.columns[column].best === "high";
    this.sort = { column, down };
    this.show();
  }

  show() {
    clearTimeout(this.timer);
    this.timer = null;
    this.shownOnce = true;
    const { column, down } = this.sort;
    const found = this.sorted(this.filtered([...this.rows.values()]));
    [...at("table").tHead.rows[0]?.cells ?? []].forEach((cell, place) => {
      if (place === column) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    const shown = found.slice(0, this.most);
    keyed(at("table").tBodies[0], shown, (row) => row[0], (row) => this.make(row), (node, row) => this.update(node, row));
    const all = counted(this.rows.size, "trial");
    const some = shown.length < found.length ? `the first ${shown.length} of ` : "";
    say(at("shown"), found.length === this.rows.size ? `${some}${all}` : `${some}${found.length.toLocaleString("en")} of ${all}`);
    at("more").hidden = shown.length === found.length;
  }

  make(row) {
    return el("tr", {}, ...this.columns.map(({ kind }) => {
      if (kind === "trial") return el("td", {}, el("a", { href: urlOf(this.study, row[0]) }, row[0]));
      return el("td", { class: kind === "text" ? "text" : "" });
    }));
  }

  update(node, row) {
    node.classList.toggle("is-best", row[0] === this.best);
    if (node.row === row) return;
    node.row = row;
    this.columns.forEach(({ kind }, place) => {
      if (kind === "trial") return;
      const cell = node.children[place], value = row[place];
      if (kind === "state") cell.className = `is-${value}`;
      if (kind === "text") cell.title = value;
      say(cell, kind === "text" || kind === "state" ? value : kind === "seconds" ? duration(value) : number(value));
    });
  }

  sorted(rows) {
    const { column, down } = this.sort;
    const missing = (row) => row[column] === null || row[column] === undefined;
    const turn = down ? -1 : 1;
    return rows.sort((a, b) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b) || a[0] - b[0];
      const x = a[column], y = b[column];
      // Numbers before texts: a parameter may have both.
      if (typeof x !== typeof y) return turn * ((typeof x === "number" ? 0 : 1) - (typeof y === "number" ? 0 : 1));
      return turn * (typeof x === "number" ? x - y : String(x).localeCompare(String(y))) || a[0] - b[0];
    });
  }

  filtered(rows) {
    const text = at("filter").value.trim(), only = at("only").value;
    const tests = only ? [(row) => row[1] === only] : [];
    const parts = text ? text.split(/\s+and\s+/i).map((part) => this.test(part)) : [];
    at("filter").classList.toggle("wrong", parts.includes(null));
    tests.push(...parts.filter(Boolean));
    return rows.filter((row) => tests.every((test) => test(row)));
  }

  /** What a filter asks of a row: `lr<1e-3`, `state=failed`, or any text; null for one that names no column. */
  test(text) {
    const match = EXPRESSION.exec(text);
    if (!match) {
      const wanted = text.toLowerCase();
      return (row) => row.some((value) => value !== null && String(value).toLowerCase().includes(wanted));
    }
    const [, name, sign, wanted] = match;
    const names = { time: "seconds", t: this.columns[2]?.title };
    const column = this.columns.findIndex(({ title }) => title === name || title === names[name]);
    const limit = wanted === "" ? NaN : Number(wanted);
    if (column < 0 || (sign in COMPARE && Number.isNaN(limit))) return null;
    if (sign in COMPARE) return (row) => typeof row[column] === "number" && COMPARE[sign](row[column], limit);
    const same = (value) => {
      if (value === null || value === undefined) return ["", "none", "null"].includes(wanted.toLowerCase());
      return typeof value === "number" && !Number.isNaN(limit) ? value === limit : String(value).toLowerCase() === wanted.toLowerCase();
    };
    return (row) => same(row[column]) === (sign !== "!=");
  }
}
