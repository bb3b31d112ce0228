// Before and after, one over the other, in step: the moment of the scene that one shows, the other shows too.

import { $, clock } from "./words.js";

const SLOWEST = 0.0625;  // that browsers play at
const APART_S = 0.06;    // of the source, before the two are set right

const before = $("before"), after = $("after"), seek = $("seek"), play = $("play");
let stretch = 1;   // seconds of after for a second of before
let from = 0;      // where before shows what after begins with
let step = 1 / 60; // seconds of a frame of after
let shownFor = "";

export function showComparison(job) {
  const { result, outcome } = job;
  const can = Boolean(result.after);
  $("compare").hidden = !can;
  $("no-compare").hidden = can;
  const key = `${job.id} ${JSON.stringify(job.options)} ${result.seconds} ${result.bytes}`;
  if (key === shownFor || !can) return;
  shownFor = key;
  stretch = outcome.stretch || 1;
  from = result.before_from || 0;
  step = 1 / (outcome.rate || 60);
  const again = `?v=${encodeURIComponent(result.seconds)}`;
  after.src = `/jobs/${job.id}/after${again}`;
  before.hidden = !result.before;
  if (result.before) before.src = `/jobs/${job.id}/before${again}`;
  $("mute").hidden = !job.info.sound || result.after === "after.mp4" || job.options.sound === "drop";
  const isCopy = result.after === "after.mp4" || result.before === "before.mp4";
  $("compare-note").textContent = isCopy
    ? "What this browser cannot play is shown as a copy of the first minute, without sound. The download is the whole."
    : "";
  setPace();
}

export function leaveComparison() {
  after.pause();
  before.pause();
}

function setPace() {
  const pace = Number($("pace").value);
  after.playbackRate = pace;
  if (pace / stretch >= SLOWEST) before.playbackRate = pace / stretch;
}

const follows = () => after.playbackRate / stretch >= SLOWEST;

function setRight(force) {
  const wanted = Math.min(from + after.currentTime / stretch, before.duration || Infinity);
  if (force || Math.abs(before.currentTime - wanted) > APART_S) before.currentTime = wanted;
}

function tick() {
  const lasts = after.duration || 0;
  if (document.activeElement !== seek || !after.paused) seek.value = lasts ? (1000 * after.currentTime) / lasts : 0;
  seek.setAttribute("aria-valuetext", clock(after.currentTime));
  $("clock").textContent = clock(after.currentTime);
  if (!after.paused) {
    setRight(false);
    requestAnimationFrame(tick);
  }
}

function start() {
  if (after.ended) after.currentTime = 0;
  setRight(true);
  after.play();
  if (follows()) before.play();
}

function go(seconds) {
  leaveComparison();
  after.currentTime = Math.min(Math.max(0, seconds), after.duration || 0);
  setRight(true);
  tick();
}

function showPlaying() {
  play.textContent = after.paused ? "▶" : "❚❚";
  play.setAttribute("aria-label", after.paused ? "Play" : "Pause");
  tick();
}

play.addEventListener("click", () => (after.paused ? start() : leaveComparison()));
$("back").addEventListener("click", () => go(after.currentTime - step));
$("next").addEventListener("click", () => go(after.currentTime + step));
seek.addEventListener("input", () => go((seek.value / 1000) * (after.duration || 0)));
$("pace").addEventListener("change", setPace);
$("mute").addEventListener("click", () => {
  after.muted = !after.muted;
  $("mute").setAttribute("aria-pressed", String(after.muted));
  $("mute").textContent = after.muted ? "Sound off" : "Sound on";
});
$("split").addEventListener("input", (event) => $("compare").style.setProperty("--at", `${event.target.value}%`));
after.addEventListener("play", showPlaying);
after.addEventListener("pause", () => { before.pause(); showPlaying(); });
after.addEventListener("ended", () => { before.pause(); showPlaying(); });
after.addEventListener("loadedmetadata", () => { setPace(); go(0); });
before.addEventListener("loadedmetadata", () => { setPace(); setRight(true); });
for (const video of [after, before]) {
  video.addEventListener("error", () => {
    if (video.getAttribute("src")) { $("compare").hidden = true; $("no-compare").hidden = false; }
  });
}
