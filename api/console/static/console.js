// Keeps a page current: what stands in it as a part (data-part, with an id) is taken anew from the
// same address every few seconds (data-live on main). Without this script pages are read as they
// were, and reloaded by hand; nothing else depends on it.
"use strict";

const main = document.querySelector("main[data-live]");
const pause = main ? Number(main.dataset.live) * 1000 : 0;

function isBusy(part) {
  const selected = document.getSelection();
  return (
    part.contains(document.activeElement) ||
    (selected && !selected.isCollapsed && part.contains(selected.anchorNode))
  );
}

function openedIn(part) {
  return [...part.querySelectorAll("details[id][open]")].map((each) => each.id);
}

function take(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const newer = fresh.getElementById(part.id);
    if (!newer || newer.innerHTML === part.innerHTML || isBusy(part)) continue;
    const opened = openedIn(part);
    const scrolled = [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    part.replaceChildren(...newer.childNodes);
    for (const id of opened) part.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    part.querySelectorAll(".scroll").forEach((each, at) => (each.scrollLeft = scrolled[at] ?? 0));
  }
}

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const isCurrent = answer.ok && !answer.redirected;
      document.body.classList.toggle("stale", !isCurrent);
      if (isCurrent) {
        take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      }
    } catch {
      document.body.classList.add("stale");
    }
  }
  setTimeout(refresh, pause);
}

if (main) setTimeout(refresh, pause);

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
// And again after a way back through the browser's history.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
