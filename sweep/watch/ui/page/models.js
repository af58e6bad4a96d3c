// The models of a registry: versions, where aliases point, what each is worth and where it comes from.

import { at, data, el, number, say, urlOf } from "./common.js";

const EVERY_MS = 10_000;
let last = "";

function aliases(names) {
  return names.map((name) => el("span", { class: name === "champion" ? "alias champion" : "alias" }, name));
}

function others(version) {
  return Object.entries(version.metrics).filter(([name]) => name !== version.metric)
    .map(([name, value]) => `${name} ${number(value)}`).join(", ");
}

function row(version) {
  if (version.problem) {
    return el("tr", {}, el("td", {}, el("b", {}, version.version)), el("td", {}, ...aliases(version.aliases)),
      el("td", { class: "reason", colspan: 5 }, version.problem));
  }
  return el("tr", {},
    el("td", { title: version.path }, el("b", {}, version.version)), el("td", {}, ...aliases(version.aliases)),
    el("td", {}, `${version.metric} `, el("b", {}, number(version.value))), el("td", { class: "text muted" }, others(version)),
    el("td", {}, el("a", { href: urlOf(version.study) }, version.study)),
    el("td", {}, el("a", { href: urlOf(version.study, version.trial) }, `trial ${version.trial}`)),
    el("td", { class: "muted" }, version.created.slice(0, 16).replace("T", " ")));
}

function section(model) {
  const heads = ["version", "aliases", "metric", "others", "study", "trial", "made (UTC)"].map((name) => el("th", {}, name));
  const moves = model.history.map((move) => el("li", {},
    el("span", { class: "muted" }, move.when.slice(0, 16).replace("T", " ")), " ", el("b", {}, move.alias),
    ` → ${move.version}`, el("span", { class: "muted" }, `${move.was ? ` (was ${move.was})` : ""} by ${move.by}`)));
  return el("section", {}, el("h2", {}, model.model),
    model.problem ? el("p", { class: "problem" }, model.problem) : null,
    el("div", { class: "wide" }, el("table", { class: "full" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...model.versions.map(row)))),
    moves.length ? el("details", {}, el("summary", {}, "Where aliases pointed"), el("ol", { class: "feed" }, ...moves)) : null);
}

function show(found) {
  const text = JSON.stringify(found);
  if (text === last) return;
  last = text;
  at("problem").hidden = !found.problem;
  say(at("problem"), found.problem);
  at("none").hidden = found.models.length > 0 || Boolean(found.problem);
  at("models").replaceChildren(...found.models.map(section));
  document.body.dataset.ready = "yes";
}

async function look() {
  if (document.hidden) return;
  try {
    const response = await fetch("/api/models");
    if (response.ok) show(await response.json());
    say(at("link"), response.ok ? "live" : "open the address that sweep ui has printed");
    at("link").classList.toggle("lost", !response.ok);
  } catch {
    say(at("link"), "no connection: is sweep ui still running?");
    at("link").classList.add("lost");
  }
}

show(data);
setInterval(look, EVERY_MS);
