// One job: what it is, what should come out, how far it is, what came out.

import { leaveComparison, showComparison } from "./compare.js";
import { $, ask, bytes, count, duration, say, tellProgress } from "./words.js";

const PAUSE_MS = 300;   // after the last change of a choice, before the server is asked
const SELECTS = ["codec", "cuts", "sound", "repeats"];
const BUSY = ["waiting", "running"];

let job = null;         // as the server last told it
let filledFor = "";     // the job that the form was filled for
let models = new Map();
let began = false;      // a render was asked for here, and nothing of it was told yet
let asked = 0;          // counts questions, so that an old answer is left aside
let timer = 0;

export const openJob = () => job;

export function showJob(told) {
  const isNew = !job || !told || job.id !== told.id;
  if (isNew) began = false;
  const was = job;
  job = told;
  $("job").hidden = !job;
  if (!job) { leaveComparison(); return; }
  $("job-h").textContent = job.name;
  $("facts").textContent = facts(job);
  if (filledFor !== job.id) { fill(job.options); filledFor = job.id; replan(0); }
  showState(isNew ? null : was);
}

function showState(was) {
  const isBusy = BUSY.includes(job.state);
  $("running").hidden = !isBusy;
  $("choices").disabled = isBusy;
  $("render").disabled = isBusy;
  $("result").hidden = job.state !== "done";
  $("form-h").textContent = job.state === "done" ? "Something else?" : "What should come out?";
  say("job-error", job.state === "failed" ? job.error : "");
  nameButton();
  if (isBusy) showProgress();
  if (job.state === "done") showResult();
  else leaveComparison();
  if (began && isBusy) {
    began = false;
    $("stop").focus({ preventScroll: true });
    $("running").scrollIntoView({ block: "nearest" });
  }
  if (was && !isBusy && (began || BUSY.includes(was.state))) {
    replan(0);
    if (job.state === "done") { began = false; $("download").focus({ preventScroll: true }); }
  }
}

function facts({ info, bytes: size }) {
  const parts = [`${info.width}×${info.height}`, `${info.rate} frames a second`];
  if (info.frames) parts.push(count(info.frames, "frame"));
  if (info.seconds) parts.push(duration(info.seconds));
  parts.push(info.bits > 8 ? `${info.codec}, ${info.bits} bit` : info.codec);
  parts.push(info.sound ? "with sound" : "without sound", bytes(size));
  return parts.filter(Boolean).join(" · ");
}

function showProgress() {
  const { status, outcome } = job, bar = $("running-bar");
  const expected = status.expected || outcome.frames;
  if (status.phase === "rendering" && expected) {
    bar.max = expected;
    bar.value = Math.min(status.frames, expected);
  } else {
    bar.removeAttribute("value");
  }
  tellProgress("running", progressWords(status, expected), expected ? (status.frames || 0) / expected : 0);
  const more = [status.model, status.backend, status.fps ? `${status.fps.toFixed(1)} fps` : ""];
  $("running-more").textContent = more.filter(Boolean).join(" · ");
}

// Where only a part is rendered, the plan has counted what nobody else knows.
function leftWords(status, expected) {
  if (!status.fps || !expected) return "";
  return `, about ${duration(Math.max(0, (expected - status.frames) / status.fps))} left`;
}

function progressWords(status, expected) {
  if (job.state === "waiting") return job.ahead ? `Waiting for ${count(job.ahead, "other job")}` : "Waiting";
  if (status.phase === "fetching") return "Fetching the model's weights";
  if (status.phase === "preview") return "Getting the comparison ready";
  if (status.phase !== "rendering") return "Starting";
  const percent = Math.min(100, Math.floor((100 * status.frames) / expected));
  const part = expected ? `${percent} %` : count(status.frames, "frame");
  return `Rendering: ${part}${leftWords(status, expected)}`;
}

function showResult() {
  const { result, outcome } = job;
  const lasts = result.resumed ? `${count(result.resumed, "frame")} were finished before` : `in ${duration(result.seconds)}`;
  $("made").textContent = `${outcome.name}: ${count(result.frames_out, "frame")}, ${bytes(result.bytes)}, ${lasts}`;
  $("download").href = `/jobs/${job.id}/result`;
  $("download").setAttribute("download", outcome.name);
  const lines = [...(result.notes || []), ...(result.damage ? [result.damage] : [])];
  const shown = [...$("notes").children].map((item) => item.textContent);
  if (shown.join("\n") !== lines.join("\n")) {
    $("notes").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
  }
  showComparison(job);
}

export function showModels(told) {
  models = new Map(told.models.map((row) => [row.name, row]));
  const here = told.models.filter((row) => row.here);
  const options = [["default", `the best here (${told.default})`]];
  for (const row of here) {
    options.push([row.name, row.name]);
    for (const tag of row.tags.slice(1)) options.push([`${row.name}@${tag}`, `${row.name}@${tag}`]);
  }
  const was = $("model").value || (job && job.options.model) || "default";
  $("model").replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  $("model").value = options.some(([value]) => value === was) ? was : "default";
  describeModel(told.default);
}

function describeModel(byDefault) {
  if (byDefault) $("model").dataset.default = byDefault;
  const chosen = $("model").value === "default" ? $("model").dataset.default : $("model").value.split("@")[0];
  const row = models.get(chosen);
  const parts = row ? [row.about] : [];
  if (row && row.gmacs) parts.push(`${row.gmacs} GMACs a frame at 720p`);
  for (const [set, score] of Object.entries(row ? row.scores : {})) parts.push(`${set} ${score} dB`);
  $("model-about").textContent = parts.join(" · ");
}

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

function options() {
  const found = {}, kind = chosen("kind");
  if (kind === "slow") found.slow = chosen("slow");
  if (kind === "times") found.times = Number(chosen("times"));
  if (kind === "rate") found.rate = chosen("rate") === "own" ? $("own-rate").value.trim() : chosen("rate");
  if ($("model").value && $("model").value !== "default") found.model = $("model").value;
  for (const name of SELECTS) if (!["auto", "hold", "keep"].includes($(name).value)) found[name] = $(name).value;
  if ($("sound").value === "keep") found.sound = "keep";
  for (const name of ["start", "end"]) if ($(name).value.trim()) found[name] = $(name).value.trim();
  return found;
}

// What somebody would want of a video who has not said yet: the next rate that it does not have.
function suggested({ rate }) {
  return rate < 59 ? { rate: 60 } : rate < 119 ? { rate: 120 } : { times: 2 };
}

function fill(wanted) {
  const given = ["slow", "times", "rate"].some((name) => name in wanted) ? wanted : { ...wanted, ...suggested(job.info) };
  const kind = ["slow", "times", "rate"].find((name) => name in given) || "rate";
  $(`kind-${kind}`).checked = true;
  const value = String(given[kind] || 60);
  const radio = document.querySelector(`input[name=${kind}][value="${CSS.escape(value)}"]`);
  if (radio) radio.checked = true;
  else if (kind === "rate") { $("rate-own").checked = true; $("own-rate").value = value; }
  $("model").value = given.model || "default";
  if (!$("model").value) $("model").value = "default";
  const plain = { codec: "auto", cuts: "hold", sound: "auto", repeats: "keep", start: "", end: "" };
  for (const [name, usual] of Object.entries(plain)) $(name).value = given[name] || usual;
  showKind();
}

function showKind() {
  for (const kind of ["slow", "rate", "times"]) $(`of-${kind}`).hidden = chosen("kind") !== kind;
  $("own-rate").hidden = chosen("rate") !== "own";
  describeModel();
}

function sorted(object) {
  return JSON.stringify(Object.entries(object).sort());
}

function nameButton() {
  const goesOn = job.state === "stopped" && sorted(job.options) === sorted(options());
  $("render").textContent = goesOn ? "Go on" : "Render";
}

function replan(pause = PAUSE_MS) {
  clearTimeout(timer);
  timer = setTimeout(plan, pause);
}

async function plan() {
  const mine = ++asked, { id } = job;
  say("plan-error", "");
  say("outcome-notes", "");
  nameButton();
  try {
    let outcome = await ask("POST", `/jobs/${id}/plan`, options());
    if (mine !== asked) return;
    const isIdle = !BUSY.includes(job.state);
    $("outcome").textContent = outcomeWords(outcome, isIdle && outcome.takes_s === null ? "measuring how long it takes …" : "");
    if (outcome.takes_s === null && outcome.frames && isIdle) {
      outcome = await ask("POST", `/jobs/${id}/measure`, options());
      if (mine === asked) $("outcome").textContent = outcomeWords(outcome, "how long it takes is not known");
    }
  } catch (error) {
    if (mine !== asked) return;
    $("outcome").textContent = "";
    say("plan-error", error.message);
  }
}

function outcomeWords(outcome, waiting) {
  const parts = [`${outcome.width}×${outcome.height}`, `${outcome.rate} frames a second`];
  if (outcome.frames) parts.push((outcome.is_exact ? "" : "about ") + count(outcome.frames, "frame"), `${outcome.seconds} s long`);
  parts.push(`by ${outcome.model}`);
  if (outcome.takes_s !== null) parts.push(`takes about ${duration(outcome.takes_s)}`);
  else if (waiting) parts.push(waiting);
  say("outcome-notes", outcome.notes.join("; "));
  return parts.join(" · ");
}

$("form").addEventListener("input", () => { showKind(); replan(); });
$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("render").disabled = true;
  asked += 1;
  say("plan-error", "");
  const before = job;
  began = true;
  try {
    const told = await ask("POST", `/jobs/${job.id}/render`, options());
    if (job === before) showJob(told);  // else the server told more of it meanwhile, and this is old
  } catch (error) {
    began = false;
    say("plan-error", error.message);
    $("render").disabled = false;
  }
});
$("stop").addEventListener("click", async () => {
  $("stop").disabled = true;
  const before = job;
  try {
    const told = await ask("POST", `/jobs/${job.id}/stop`);
    if (job === before) showJob(told);
    $("render").focus({ preventScroll: true });
  } catch (error) {
    say("job-error", error.message);
  } finally {
    $("stop").disabled = false;
  }
});
