// All studies of a storage folder, the latest activity first.

import { at, badge, data, duration, el, keyed, listen, moment, number, say, shares, urlOf } from "./common.js";

function make(row) {
  const name = el("a", { href: urlOf(row.name) }, row.name);
  const bar = el("div", { class: "shares thin" });
  return el("tr", {},
    el("td", {}, name), el("td", {}, el("span", { class: "badge" })), el("td", { class: "trials" }, el("span"), bar),
    el("td"), el("td", { class: "right" }), el("td", { class: "right muted" }));
}

function update(node, row) {
  const [, state, trials, best, time, active] = node.children;
  badge(state.firstChild, row.state === "reading" ? "…" : row.state);
  const known = row.trials !== null && row.trials !== undefined;
  best.className = row.reason ? "reason" : "";
  say(active, moment(row.updated));
  if (!known) {
    say(trials.firstChild, "");
    trials.lastChild.hidden = true;
    say(best, row.reason ?? "");
    say(time, "");
    return;
  }
  const searched = row.trials - row.repeats;
  const limit = row.budget_trials === null ? "" : ` of ${row.budget_trials}`;
  const repeats = row.repeats ? ` + ${row.repeats}` : "";
  say(trials.firstChild, `${searched}${limit}${repeats}${row.failed ? `, ${row.failed} failed` : ""}`);
  trials.lastChild.hidden = false;
  const running = row.trials - row.ended;
  const parts = [
    { name: "complete", count: row.ended - row.failed }, { name: "failed", count: row.failed },
    { name: row.live ? "running" : "waiting", count: running },
  ];
  shares(trials.lastChild, parts, Math.max(row.trials, (row.budget_trials ?? 0) + row.repeats));
  say(best, row.best === null ? "-" : `${row.metric} ${number(row.best)}, trial ${row.best_trial}`);
  say(time, duration(row.elapsed_s));
}

function show({ studies, problem }) {
  at("problem").hidden = !problem;
  say(at("problem"), problem);
  keyed(at("studies").tBodies[0], studies, (row) => row.name, make, update);
  at("none").hidden = studies.length > 0 || Boolean(problem);
  at("studies").hidden = studies.length === 0;
  document.body.dataset.ready = "yes";
}

show(data);
listen(() => "/api/studies.stream", { message: show });
