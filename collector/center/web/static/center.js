// SPDX-License-Identifier: GPL-3.0-or-later
// Comfort only: every page works without it.
"use strict";

// A choice that leads on at once, such as the month; its button is for browsers without scripts.
for (const select of document.querySelectorAll("select[data-goes]")) {
  const button = select.form.querySelector("button");
  if (button) button.hidden = true;
  select.addEventListener("change", () => select.form.requestSubmit());
}

// What can't be taken back lightly asks first: <form data-asks="Really?">
for (const form of document.querySelectorAll("form[data-asks]")) {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.asks)) event.preventDefault();
  });
}

// A form is sent once, however often it is clicked.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    // After the form's data are gathered: a disabled button would not be among them.
    setTimeout(() => { for (const button of form.querySelectorAll("button")) button.disabled = true; }, 0);
  });
}
// Back in the history shows the page as it was: its buttons must work again.
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("form[method=post] button")) button.disabled = false;
});

// A file is dropped anywhere on its form, not on the field alone: beside the field a browser would leave the page for it.
for (const form of document.querySelectorAll("form.drop")) {
  const field = form.querySelector("input[type=file]");
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    if (event.dataTransfer.files.length !== 1) return;
    field.files = event.dataTransfer.files;
    form.requestSubmit();
  });
}

// A square of a map says on hover whose it is: its row and its column.
document.addEventListener("mouseover", (event) => {
  const link = event.target.closest(".heat td a");
  if (!link || link.title) return;
  const cell = link.parentElement;
  const row = [...cell.parentElement.querySelectorAll("th")].map((each) => each.textContent.trim());
  const head = cell.closest("table").tHead.rows[0].cells[cell.cellIndex];
  link.title = `${row.join(" ")} · ${head.dataset.name ?? head.textContent.trim()}: ${link.textContent} %`;
});

// On a phone the navigation is wider than the screen: the entry of this page is in sight.
document.querySelector("nav[aria-label] > ul [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
