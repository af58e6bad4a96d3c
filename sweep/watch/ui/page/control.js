// Buttons that ask something of a study: each says what it will do before it is done, and what was answered.

import { apiOf, at, counted, el, say } from "./common.js";

const WORDS = {
  stop: ["Stop", "Stop the study?", () => "No new trials are created. Those at work go to their ends."],
  pause: ["Pause", "Pause the study?", () => "Nothing is started until it is resumed. Trials at work go to their ends."],
  resume: ["Resume", "Resume the study?", () => "Trials are started again."],
  cancel: ["Cancel", "Cancel the study?", (state) => state.live
    ? `It ends now, and ${counted(state.running.length, "trial")} at work with it.`
    : "It ends for good: trials that wait to go on are over."],
};

function offered(state) {
  if (state.state === "complete" || state.state === "damaged") return [];
  if (!state.live) return ["cancel"];
  if (state.state === "paused") return ["resume", "stop", "cancel"];
  return state.ending ? ["cancel"] : ["pause", "stop", "cancel"];
}

/** Show those of the study's buttons that make sense now. */
export function studyButtons(study, state) {
  const wanted = offered(state);
  const place = at("buttons");
  place.state = state;
  if (place.dataset.offered === wanted.join()) return;
  place.dataset.offered = wanted.join();
  place.replaceChildren(...wanted.map((verb) => {
    const [label, title, text] = WORDS[verb];
    const ask = () => confirmed({ title, text: text(place.state), label }, () => send(study, { verb }));
    return el("button", { type: "button", "data-verb": verb, onclick: ask }, label);
  }));
}

/** A button that ends one trial. */
export function trialButton(study, trial, verb = "stop", small = true) {
  const [label, when] = verb === "stop" ? ["Stop", "It ends at its next report."] : ["Cancel", "It ends now."];
  const asked = { title: `${label} trial ${trial}?`, text: when, label };
  const ask = () => confirmed(asked, () => send(study, { verb, trial }));
  const name = `${label} trial ${trial}`;
  return el("button", { type: "button", class: small ? "small" : "", "aria-label": name, "data-verb": verb, onclick: ask }, label);
}

function confirmed(asked, act) {
  const dialog = at("confirm");
  say(at("confirm-title"), asked.title);
  say(at("confirm-text"), asked.text);
  say(at("confirm-yes"), asked.label);
  dialog.returnValue = "no";
  dialog.onclose = () => { if (dialog.returnValue === "yes") act(); };
  dialog.showModal();
}

async function send(study, wish) {
  const answer = at("answer");
  const what = wish.trial === undefined ? wish.verb : `${wish.verb} trial ${wish.trial}`;
  answer.className = "answer";
  say(answer, `${what}: asked …`);
  let found;
  try {
    const response = await fetch(`${apiOf(study)}/control`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wish),
    });
    found = response.headers.get("content-type")?.startsWith("application/json")
      ? await response.json() : { accepted: false, answer: await response.text() };
  } catch (error) {
    found = { accepted: false, answer: `not asked: ${error.message}` };
  }
  answer.classList.toggle("refused", found.accepted === false);
  say(answer, `${what}: ${found.answer ?? found.problem ?? "refused"}`);
}
