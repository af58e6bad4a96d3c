// The report's figures, drawn anew as the study goes on: those in view, at a pace that the server names.

import { apiOf, at, el, say } from "./common.js";

const ORDER = ["history", "front", "curves", "survival", "importance", "parallel", "slices", "contour", "timeline"];
const KINDS = ["quick", "learned"];

let plotly;

/** Plotly, loaded once it is wanted. */
export function withPlotly() {
  plotly ??= new Promise((resolve, reject) => {
    const script = el("script", { src: new URL("./plotly.js", import.meta.url).href, onload: resolve, onerror: reject });
    document.head.append(script);
  });
  return plotly;
}

/** Draw into `#figure-NAME`. A finger on a figure scrolls the page. */
export async function drawn(figure) {
  await withPlotly();
  if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false;
  await draw(figure);
  at(`figure-${figure.name}`).dataset.drawn = "yes";
}

export class Figures {
  constructor(study) {
    this.study = study;
    this.place = at("figures");
    this.known = new Map();
    this.kinds = new Map(KINDS.map((kind) => [kind, { have: -1, wanted: -1, busy: false, next: 0, came: false }]));
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const one = this.known.get(entry.target.dataset.name);
        one.visible = entry.isIntersecting;
        this.paint(one);
      }
    }, { rootMargin: "300px" });
    document.addEventListener("visibilitychange", () => KINDS.forEach((kind) => this.refresh(kind)));
  }

  /** The study has come to a revision. */
  news(revision) {
    for (const [kind, one] of this.kinds) {
      one.wanted = revision;
      this.refresh(kind);
    }
  }

  async refresh(kind) {
    const one = this.kinds.get(kind);
    if (document.hidden || one.busy || one.wanted <= one.have) return;
    // The page itself comes first, and what is quick before what is not.
    if (kind === "learned" && !this.kinds.get("quick").came) return;
    one.busy = true;
    const rest = one.next - performance.now();
    if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    let found;
    try {
      const response = await fetch(`${apiOf(this.study)}/figures/${kind}?have=${one.have}`);
      found = await response.json();
    } catch {
      found = { again_s: 5 };
    }
    one.busy = false;
    one.next = performance.now() + 1000 * (found.again_s ?? 5);
    if (found.revision !== undefined) one.have = found.revision;
    if (found.problem) say(at("drawing"), found.problem);
    if (found.figures) this.take(kind, found.figures);
    one.came = one.came || found.revision !== undefined;
    if (kind === "quick") this.refresh("learned");
    this.refresh(kind);
  }

  take(kind, figures) {
    for (const figure of figures) {
      const one = this.known.get(figure.name) ?? this.add(figure);
      one.figure = figure;
      one.dirty = true;
      say(one.note, figure.note);
      this.paint(one);
    }
    const waits = kind === "quick" ? "What mattered is being worked out …" : "";
    const hint = this.known.has("importance") ? "" : "What mattered is said once a dozen trials have been compared.";
    say(at("drawing"), kind === "quick" && this.kinds.get("learned").came ? hint : waits || hint);
    at("drawing").hidden = !at("drawing").textContent;
  }

  add(figure) {
    const note = el("p", { class: "note" });
    const canvas = el("div", { class: `figure figure-${figure.name}`, id: `figure-${figure.name}` });
    const section = el("section", { id: figure.name, "data-name": figure.name },
      el("h2", {}, figure.title), note, el("div", { class: "wide" }, canvas));
    const one = { note, visible: false, dirty: true, painting: false };
    this.known.set(figure.name, one);
    const after = [...this.place.querySelectorAll("section")].find(
      (other) => ORDER.indexOf(other.dataset.name) > ORDER.indexOf(figure.name));
    this.place.insertBefore(section, after ?? at("drawing"));
    // Its place is kept, so that nothing moves when it is drawn.
    canvas.style.minHeight = `${figure.layout.height ?? 380}px`;
    this.seen.observe(section);
    return one;
  }

  async paint(one) {
    if (!one.visible || !one.dirty || one.painting) return;
    one.dirty = false;
    one.painting = true;
    try { await drawn(one.figure); } finally { one.painting = false; }
    this.paint(one);
  }
}
