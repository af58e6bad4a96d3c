// One study, live.

import {
  apiOf, at, badge, counted, data, duration, el, emptySparkline, keyed, listen, moment, number, say, shares, sparkline, tiles, urlOf,
} from "./common.js";
import { studyButtons, trialButton } from "./control.js";
import { Figures } from "./figures.js";
import { TrialTable } from "./trials.js";

const study = data.study;
const figures = new Figures(study);
const table = new TrialTable(study);
let state, mark = "", heard = 0;

const passed = () => (state.live ? (performance.now() - heard) / 1000 : 0);
const trialLink = (trial) => el("a", { href: urlOf(study, trial) }, `trial ${trial}`);

function showHead() {
  badge(at("state"), state.ending === "drain" ? "running to the end" : state.ending ? "stopping" : state.state);
  at("state").classList.add(`is-${state.state}`);
  const hint = state.state === "interrupted" ? `sweep resume ${study} goes on.` : "";
  say(at("reason"), [state.reason, hint].filter(Boolean).join(". ").replace("..", "."));
  at("problem").hidden = !state.problem;
  say(at("problem"), state.problem ?? "");
  studyButtons(study, state);
}

function showTiles() {
  const { best, trials, budget, left } = state;
  const list = [{
    name: `best ${state.metric}`, value: best ? number(best.value) : "-",
    more: best ? el("span", {}, best.others ? `${best.others}; ` : "", trialLink(best.trial), ` at ${state.time_attr} ${best.t}`)
      : "no trial has a value yet",
  }];
  const of = trials.limit === null ? "" : ` of ${trials.limit}`;
  list.push({ name: "trials", value: `${trials.proposed}${of}`, more: trials.repeats ? `and ${counted(trials.repeats, "repeat")}` : "" });
  const elapsed = state.elapsed_s + passed();
  const limit = budget.time_s ? `of ${duration(budget.time_s.limit)}` : "";
  list.push({ name: "elapsed", value: duration(elapsed), more: limit });
  if (state.live) {
    const value = left ? duration(left.seconds - passed()) : "-";
    list.push({ name: "left", value, more: left ? (left.guessed ? "about, at this pace" : "at most") : "not known yet" });
    const delay = state.delay ? `: ${state.delay}` : "";
    const starting = state.starting ? `, ${state.starting} starting${delay}` : "";
    list.push({ name: "slots", value: `${state.running.length} of ${state.slots}`, more: `busy${starting}` });
  }
  if (budget.gpu_hours) list.push({ name: "GPU-hours", value: number(budget.gpu_hours.used), more: `of ${number(budget.gpu_hours.limit)}` });
  if (budget.cost) list.push({ name: "cost", value: number(budget.cost.used), more: `of ${number(budget.cost.limit)}` });
  if (state.front.length) list.push({ name: "front", value: counted(state.front.length, "trial"), more: "that no other beats in all" });
  for (const each of state.promotions.slice(-1)) {
    const alias = each.alias ? `, ${each.alias}` : "";
    list.push({ name: "promoted", value: `${each.model} v${each.version}`, more: `trial ${each.trial}${alias}` });
  }
  tiles(at("tiles"), list);
  const order = ["complete", "stopped", "failed", "paused", "running", "waiting"];
  const parts = order.filter((name) => state.counts[name]).map((name) => ({ name, count: state.counts[name] }));
  const all = parts.reduce((sum, part) => sum + part.count, 0);
  shares(at("progress"), parts, Math.max(all, (trials.limit ?? 0) + trials.repeats));
  keyed(at("counts"), parts, (part) => part.name, (part) => {
    const dot = el("span", { class: "dot" });
    dot.style.background = `var(--${part.name})`;
    return el("span", {}, dot, el("span"));
  }, (node, part) => say(node.lastChild, `${part.count} ${part.name}`));
}

function showRunning() {
  const rows = state.running;
  const none = state.starting ? `${state.starting} starting.` : "None at work just now.";
  at("work").hidden = !state.live;
  say(at("idle"), rows.length ? "" : none);
  at("running").hidden = !rows.length;
  if (!rows.length) return;
  const names = rows[0].config.map(([name]) => name);
  const heads = ["trial", state.time_attr, state.metric, "", "time", ...names, "where", ""];
  const head = at("running").tHead;
  if (head.dataset.names !== heads.join()) {
    head.dataset.names = heads.join();
    head.replaceChildren(el("tr", {}, ...heads.map((name) => el("th", {}, name))));
  }
  keyed(at("running").tBodies[0], rows, (row) => `${row.trial}.${row.attempt}`, (row) => {
    const cells = names.map(() => el("td"));
    return el("tr", {}, el("td", {}, trialLink(row.trial)), el("td"), el("td"), el("td", {}, emptySparkline()), el("td"),
      ...cells, el("td", { class: "muted" }), el("td", {}, trialButton(study, row.trial)));
  }, (node, row) => {
    const cells = [...node.children];
    say(cells[1], `${row.t}/${state.max_t}`);
    say(cells[2], number(row.value));
    const best = state.best?.trial === row.trial;
    node.classList.toggle("is-best", best);
    cells[2].className = best ? "best-value" : "";
    if (row.curve.length) sparkline(cells[3].firstChild, row.curve);
    say(cells[4], duration(row.seconds + passed()));
    const config = new Map(row.config);
    names.forEach((name, place) => say(cells[5 + place], config.get(name) ?? "-"));
    say(cells[5 + names.length], row.device);
  });
}

function showLadder() {
  const most = Math.max(1, ...state.rungs.map((rung) => rung.reached));
  at("ladder").hidden = !state.rungs.length;
  keyed(at("rungs").tBodies[0], state.rungs, (rung) => rung.t, (rung) => el("tr", {},
    el("td", {}, `${state.time_attr} ${rung.t}`), el("td", { class: "right" }),
    el("td", { class: "meters" }, el("span", { class: "meter" })), el("td", { class: "right" })), (node, rung) => {
    const [, reached, meter, best] = node.children;
    say(reached, String(rung.reached));
    meter.firstChild.hidden = !rung.reached;
    meter.firstChild.style.width = `${(100 * rung.reached) / most}%`;
    say(best, rung.best === null ? "" : `best ${number(rung.best)}`);
  });
}

const ACTIONS = { advance: "goes on", finish: "finished", stop: "stopped", pause: "paused", move: "moves" };

function showDecisions() {
  at("undecided").hidden = state.decisions.length > 0;
  keyed(at("decisions"), state.decisions.slice(0, 8), (each) => `${each.trial}.${each.t}.${each.action}`, (each) => el("li", {},
    trialLink(each.trial), ` ${ACTIONS[each.action]} at ${state.time_attr} ${each.t}: `,
    el("span", { class: "muted", title: moment(each.time) }, each.reason)));
}

function showFailures() {
  at("failures").hidden = !state.failures.length;
  keyed(at("failed"), state.failures, (each) => `${each.trial}.${each.attempt}`, (each) => el("div", {},
    el("p", {}, trialLink(each.trial), `, attempt ${each.attempt}: `, el("b", { class: "is-failed" }, each.reason),
      el("span", { class: "muted" }, each.final ? "" : " (tried again)")),
    // How the newest ended is seen at once.
    el("details", { open: each === state.failures[0] }, el("summary", {}, each.log), el("pre"))), (node, each) => {
    node.lastChild.hidden = !each.tail;
    say(node.lastChild.lastChild, each.tail);
  });
}

function showState() {
  showHead();
  at("told").hidden = state.state === "damaged";
  if (state.state === "damaged") return;
  showTiles();
  showRunning();
  showLadder();
  showDecisions();
  showFailures();
}

function take(told) {
  // Another log has come in this one's place: nothing that was shown holds.
  if (mark && told.mark.split("-")[0] !== mark.split("-")[0]) { location.reload(); return; }
  mark = told.mark;
  state = told.state;
  heard = performance.now();
  showState();
  if (told.columns) table.begin(told.columns, state);
  table.take(told.rows, state);
  if (state.state !== "damaged") figures.news(told.revision);
  document.body.dataset.ready = "yes";
}

if (data.first) take(data.first);
setInterval(() => { if (state?.live && !document.hidden) { showTiles(); showRunning(); } }, 1000);
listen(() => `${apiOf(study)}/stream?mark=${mark}`, { message: take });
