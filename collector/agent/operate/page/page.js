// SPDX-License-Identifier: GPL-3.0-or-later
// The page asks again every two seconds while somebody sees it, and says so when no answer comes.
"use strict";
async function again() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const name of ["main", "#now"]) {
      const place = document.querySelector(name), found = fresh.querySelector(name);
      if (place && found) place.replaceWith(found);
    }
    document.body.classList.remove("lost");
  } catch {
    document.body.classList.add("lost");
  }
}
setInterval(again, 2000);
document.addEventListener("visibilitychange", again);
