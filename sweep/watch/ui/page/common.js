// What all pages share: elements, numbers as text, streams. No text is ever parsed as markup here.

export const data = JSON.parse(document.getElementById("data").textContent);
export const at = (id) => document.getElementById(id);
export const urlOf = (study, trial) =>
  `/studies/${encodeURIComponent(study)}` + (trial === undefined ? "" : `/trials/${trial}`);
export const apiOf = (study) => `/api/studies/${encodeURIComponent(study)}`;

/** An element: attributes, then children; texts become text. Names with "on" before are listeners. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map((child) =>
    child instanceof Node ? child : String(child)));
  return node;
}

/** Let a place's children be those of a list; each stays the same element as long as its key does. */
export function keyed(place, items, keyOf, make, update) {
  const known = place.known ?? (place.known = new Map());
  const keys = new Set(items.map(keyOf));
  for (const [key, node] of known) {
    if (!keys.has(key)) { node.remove(); known.delete(key); }
  }
  let before = place.firstChild;
  for (const item of items) {
    let node = known.get(keyOf(item));
    if (!node) { node = make(item); known.set(keyOf(item), node); }
    update?.(node, item);
    if (node === before) before = before.nextSibling;
    else place.insertBefore(node, before);
  }
}

/** Change a text only where it differs: a reader's selection stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function number(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return typeof value === "string" ? value : JSON.stringify(value);
  const size = Math.abs(value);
  if (size >= 1e4 && size < 1e7) return value.toFixed(0);
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(size));
  if (exponent < -4 || exponent >= 4) {
    const [digits, power] = value.toExponential(3).split("e");
    const short = digits.replace(/\.?0+$/, "");
    const sign = power.startsWith("-") ? "-" : "+";
    return `${short}e${sign}${power.replace(/^[+-]/, "").padStart(2, "0")}`;
  }
  const text = value.toPrecision(4);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d${two(Math.floor((whole % 86400) / 3600))}h`;
}

export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

export function moment(seconds) {
  const date = new Date(seconds * 1000);
  const same = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return same ? time : `${date.toLocaleDateString("sv")} ${time.slice(0, 5)}`;
}

/** A state as a coloured word. */
export function badge(node, state) {
  say(node, state ?? "");
  const name = `badge is-${state}`;
  if (node.className !== name) node.className = name;
}

export function tile(name, value, more) {
  return el("div", { class: "tile" }, el("span", {}, name), el("b", {}, value), el("span", {}, more ?? ""));
}

/** Tiles by name, changed in place. */
export function tiles(place, list) {
  keyed(place, list, (one) => one.name, (one) => tile(one.name, "", ""), (node, one) => {
    const [, value, more] = node.children;
    say(value, one.value);
    if (one.more instanceof Node) more.replaceChildren(one.more);
    else say(more, one.more ?? "");
  });
}

const SVG = "http://www.w3.org/2000/svg";

export function sparkline(node, values) {
  const low = Math.min(...values), high = Math.max(...values), last = Math.max(1, values.length - 1);
  const y = (value) => (high === low ? 10 : 18 - (16 * (value - low)) / (high - low));
  const points = values.map((value, place) => `${(90 * place) / last},${y(value).toFixed(1)}`);
  if (values.length === 1) points.push(`90,${y(values[0]).toFixed(1)}`);
  node.firstChild.setAttribute("points", points.join(" "));
}

export function emptySparkline() {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("class", "spark");
  node.setAttribute("viewBox", "0 0 90 20");
  node.setAttribute("preserveAspectRatio", "none");
  node.setAttribute("aria-hidden", "true");
  node.append(document.createElementNS(SVG, "polyline"));
  return node;
}

/** Parts of a whole as one bar; each has a state's colour. */
export function shares(place, parts, whole) {
  keyed(place, parts, (part) => part.name, (part) => el("span"), (node, part) => {
    node.style.width = `${(100 * part.count) / Math.max(1, whole)}%`;
    node.style.background = `var(--${part.name})`;
    node.title = `${part.count} ${part.name}`;
  });
}

/** Listen to a stream, and say in the bar whether it is there. `urlOf` is asked anew where the browser gives up. */
export function listen(urlOf, handlers) {
  const link = at("link");
  let source;
  const open = () => {
    source = new EventSource(urlOf());
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data), event.lastEventId));
    }
    source.addEventListener("open", () => { say(link, "live"); link.classList.remove("lost"); });
    source.addEventListener("error", () => {
      say(link, "no connection: is sweep ui still running?");
      link.classList.add("lost");
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    });
  };
  open();
  addEventListener("pagehide", () => source.close());
  // A page that the browser had kept was told nothing meanwhile.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  return { again: () => { source.close(); open(); } };
}

// The dress that was chosen last, whatever the system prefers.
const CHOSEN = "sweep-dress";
if (localStorage.getItem(CHOSEN)) dress(localStorage.getItem(CHOSEN));
at("dress").addEventListener("click", () => localStorage.setItem(CHOSEN, document.documentElement.dataset.dress));
