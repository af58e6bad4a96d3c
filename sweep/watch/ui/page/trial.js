// One trial: its config, curve, attempts, decisions, and its log as it grows.

import { apiOf, at, badge, data, duration, el, keyed, listen, number, say, tiles, urlOf } from "./common.js";
import { trialButton } from "./control.js";
import { drawn } from "./figures.js";

const MOST = 400_000;
const { study, trial } = data;
const trialLink = (number) => el("a", { href: urlOf(study, number) }, `trial ${number}`);
let chosen = "";

function show(story) {
  badge(at("state"), story.state);
  say(at("reason"), story.reason || (story.repeat_of === null ? "" : `repeats trial ${story.repeat_of}, with another seed`));
  const works = story.live && !story.final;
  if (at("buttons").dataset.works !== String(works)) {
    at("buttons").dataset.works = works;
    at("buttons").replaceChildren(...(works ? [trialButton(study, trial, "stop", false), trialButton(study, trial, "cancel", false)] : []));
  }
  const last = story.reports.at(-1);
  const others = story.others ? `${story.others}; ` : "";
  const top = others ? `${others}the best ${story.metric} of the study` : "the best of the study";
  const best = story.best === null ? "" : el("span", {}, `${others}best: `, trialLink(story.best));
  const list = [
    { name: story.metric, value: number(story.value), more: story.is_best ? top : best },
    { name: story.time_attr, value: `${last?.t ?? 0} of ${story.max_t}`, more: "" },
    { name: "attempts", value: String(story.attempts.length), more: story.attempts.at(-1)?.outcome ?? "not begun" },
  ];
  if (story.checkpoint) list.push({ name: "checkpoint", value: `${story.time_attr} ${story.checkpoint_t}`, more: story.checkpoint.split("/").slice(-4).join("/") });
  tiles(at("tiles"), list);
  keyed(at("config").tBodies[0], Object.entries(story.config), ([name]) => name,
    ([name]) => el("tr", {}, el("th", {}, name), el("td")), (node, [, value]) => say(node.lastChild, value === null ? "null" : number(value)));
  at("uncurved").hidden = Boolean(story.figure);
  if (story.figure) drawn(story.figure);
  showAttempts(story);
  const told = story.decisions.filter(news).reverse();
  at("undecided").hidden = told.length > 0;
  say(at("undecided"), story.final ? "None." : "None yet.");
  say(at("uncurved"), story.final ? "It never reported a value." : "It hasn't reported yet.");
  keyed(at("decisions"), told, (each) => `${each.t}.${each.action}`, (each) => el("li", {},
    el("b", {}, each.action), ` at ${story.time_attr} ${each.t}: `, el("span", { class: "muted" }, each.reason)));
  at("origins").hidden = !story.lineage.length;
  keyed(at("lineage"), story.lineage, (each) => each.attempt, (each) => el("li", {},
    `at ${story.time_attr} ${each.t} from `, trialLink(each.source), ": ", el("span", { class: "muted" }, changes(each))));
  document.body.dataset.ready = "yes";
}

// That a trial goes on between two rungs is no news, nor the answers to steps it had done ahead when it was to pause.
function news(each, place, all) {
  if (each.rung !== null) return true;
  const again = ["pause", "move"].includes(each.action) && all[place - 1]?.action === each.action;
  return each.action !== "advance" && !again;
}

function changes({ before, after }) {
  const changed = Object.keys(after).filter((name) => before[name] !== after[name]);
  return changed.map((name) => `${name} ${number(before[name])} → ${number(after[name])}`).join(", ") || "nothing changed";
}

function showAttempts(story) {
  keyed(at("attempts").tBodies[0], story.attempts, (each) => each.attempt, (each) => el("tr", {},
    el("td", {}, each.attempt), el("td"), el("td", { class: "right" }), el("td", { class: "muted" })), (node, each) => {
    const [, outcome, time, where] = node.children;
    outcome.className = `is-${each.outcome === "returned" ? "complete" : each.outcome}`;
    say(outcome, each.outcome);
    say(time, each.seconds === null ? "-" : duration(each.seconds));
    say(where, [each.device, each.node].filter(Boolean).join(" "));
  });
  const failed = story.attempts.filter((each) => each.error);
  keyed(at("errors"), failed, (each) => each.attempt, (each) => el("details", {},
    el("summary", {}, `attempt ${each.attempt}: ${each.error.trim().split("\n").at(-1)}`), el("pre", {}, each.error)));
  const options = ["", ...story.attempts.map((each) => String(each.attempt))];
  keyed(at("attempt"), options, (each) => each, (each) => el("option", { value: each }, each || "the latest"));
  const whose = chosen ? story.attempts[chosen - 1] : story.attempts.at(-1);
  say(at("path"), whose?.log ?? "");
}

function showLog(told) {
  const log = at("log");
  const left = told.before ? `… ${told.before.toLocaleString("en")} bytes before\n` : "";
  // Text only: a log's lines never become elements.
  if (told.anew) log.textContent = left + told.text;
  else log.append(told.text);
  log.normalize();
  if (log.textContent.length > MOST) log.textContent = `…${log.textContent.slice(-MOST / 2)}`;
  if (at("follow").checked) log.scrollTop = log.scrollHeight;
}

if (data.story) show(data.story);
const heard = listen(() => `${apiOf(study)}/trials/${trial}/stream${chosen ? `?attempt=${chosen}` : ""}`, {
  story: show, log: showLog, problem: ({ problem }) => { at("problem").hidden = false; say(at("problem"), problem); },
});
at("attempt").addEventListener("input", () => {
  chosen = at("attempt").value;
  at("log").replaceChildren();
  heard.again();
});
at("log").addEventListener("scroll", () => {
  const log = at("log");
  at("follow").checked = log.scrollTop + log.clientHeight > log.scrollHeight - 30;
});
at("follow").addEventListener("input", () => { if (at("follow").checked) at("log").scrollTop = at("log").scrollHeight; });
