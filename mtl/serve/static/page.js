// No library, and nothing from elsewhere. What comes from outside is set as text, never as HTML.
"use strict";

const at = (id) => document.getElementById(id);
const fixes = { fields: {}, cells: {} };
let dropped = [];
let job = "";

function make(tag, told = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(told)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
}

function chosen() {
  if (dropped.length) return dropped;
  return [...at("files").files, ...at("folder").files].map((file) => [file.webkitRelativePath || file.name, file]);
}

function tellChosen() {
  const count = chosen().length;
  if (count) at("chosen").textContent = `${count} file${count > 1 ? "s" : ""} chosen.`;
}

async function walk(entry, into) {
  if (entry.isFile) {
    into.push([entry.fullPath.slice(1), await new Promise((done, no) => entry.file(done, no))]);
  } else {
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, no) => reader.readEntries(done, no));
      if (!some.length) return;
      for (const one of some) await walk(one, into);
    }
  }
}

async function ask(path, how) {
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Error(typeof told.detail === "string" ? told.detail : `The server says ${answer.status}.`);
}

function say(text, bad) {
  at("state").textContent = text;
  at("state").className = bad ? "bad" : "";
}

async function send(event) {
  event.preventDefault();
  const files = chosen();
  if (!files.length) return say("Choose an image first.", true);
  const form = new FormData();
  for (const [name, file] of files) form.append("files", file, name);
  form.append("explain", at("explain").checked);
  at("go").disabled = true;
  at("result").hidden = true;
  say("Sending …");
  try {
    const begun = await ask(`/api/jobs?run=${encodeURIComponent(at("run").value)}`, { method: "POST", body: form });
    job = (await begun.json()).job;
    show(await wait());
  } catch (error) {
    say(error.message, true);
  } finally {
    at("go").disabled = false;
    at("bar").hidden = true;
  }
}

async function wait() {
  for (;;) {
    const told = await (await ask(`/api/jobs/${job}`)).json();
    if (told.state === "failed") throw new Error(told.sentence);
    if (told.state === "done") return told;
    at("bar").hidden = false;
    at("bar").value = told.total ? told.done / told.total : 0;
    say(told.state === "waiting" ? `Waiting: ${told.ahead} before you.` : `${told.done} of ${told.total} images answered …`);
    await new Promise((done) => setTimeout(done, 500));
  }
}

function classes(what) {
  return JSON.parse(at("run").selectedOptions[0].dataset[what]);
}

function choice(label, names, keep) {
  const box = make("select", { "aria-label": label }, make("option", { value: "" }, "right, or not looked at"));
  for (const name of names) box.append(make("option", { value: name }, name));
  box.addEventListener("change", () => {
    keep(box.value);
    const count = Object.keys(fixes.fields).length + Object.keys(fixes.cells).length;
    at("count").textContent = count ? `${count} corrected.` : "None.";
    at("save").disabled = !count;
  });
  return box;
}

function keeper(where, key) {
  return (value) => {
    if (value) where[key] = value;
    else delete where[key];
  };
}

function bars(said) {
  const list = make("div", { className: "bars" });
  for (const [name, part] of Object.entries(said.probabilities).sort((a, b) => b[1] - a[1])) {
    const percent = `${(100 * part).toFixed(1)} %`;
    const inside = said.within.includes(name);
    list.append(
      make("span", { className: inside ? "in" : "" }, name + (inside ? " •" : "")),
      make("progress", { max: 1, value: part, "aria-label": `${name} ${percent}` }),
      make("span", {}, percent),
    );
  }
  return list;
}

function image(field, words, number, explained) {
  const right = make("div", {}, make("p", { className: "said" }, words.field));
  if (field.said) {
    right.append(bars(field.said));
    if (field.said.within.length) right.append(make("p", { className: "soft" }, "• in the set that holds the right class nine times in ten. Numbers are calibrated."));
    right.append(make("p", {}, "It should be ", choice(`Class of ${field.image}`, classes("fields"), keeper(fixes.fields, number))));
  }
  if (words.blasts) right.append(make("p", {}, words.blasts));
  right.append(make("p", { className: "links" }, link(`/api/jobs/${job}/${number}/cells.geojson`, "Cells for QuPath (GeoJSON)")));
  const overlay = make("img", { src: `/api/jobs/${job}/${number}/overlay.png`, alt: `${field.image} with ${field.cells.length} cells outlined in the colours of their classes` });
  const shown = make("article", {}, make("h3", {}, field.image), make("div", { className: "two" }, make("div", {}, overlay), right));
  if (field.cells.length) shown.append(make("h4", {}, `${field.cells.length} white cells; those to look at come first`), ...gallery(field, words, number));
  if (explained) shown.append(make("h4", {}, "Where the network looked"), make("img", { src: `/api/jobs/${job}/${number}/explained.png`, alt: `What spoke for the answer of ${field.image}` }));
  return shown;
}

function gallery(field, words, number) {
  const first = make("ul", { className: "gallery" });
  const rest = make("ul", { className: "gallery" });
  words.order.forEach((cell, place) => {
    const entry = make("li", {}, make("img", { src: `/api/jobs/${job}/${number}/${cell}.png`, alt: `Cell ${cell}`, loading: "lazy" }));
    entry.append(make("p", {}, `${cell}: ${words.cells[cell]}`));
    if (classes("cells").length) entry.append(choice(`Class of cell ${cell} of ${field.image}`, classes("cells"), keeper(fixes.cells, `${number}/${cell}`)));
    (place < 12 ? first : rest).append(entry);
  });
  return rest.children.length ? [first, make("details", {}, make("summary", {}, `${rest.children.length} more`), rest)] : [first];
}

function link(path, text) {
  return make("a", { href: path, download: "" }, text);
}

function patients(answer) {
  if (answer.patients.length < 2) return "";
  const head = make("tr", {}, ...["Patient or slide", "Images", "Most probable", "Blasts"].map((text) => make("th", { scope: "col" }, text)));
  const rows = answer.patients.map((one) => {
    const label = one.label === null ? "no answer" : `${one.label}, ${(100 * one.probabilities[one.label]).toFixed(0)} %`;
    const blasts = one.blasts && one.blasts.part !== null ? `${one.blasts.count} of ${one.blasts.total}` : "";
    return make("tr", {}, ...[one.group, one.fields, label, blasts].map((text) => make("td", {}, String(text))));
  });
  return make("div", { className: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function show(told) {
  fixes.fields = {};
  fixes.cells = {};
  at("save").disabled = true;
  at("count").textContent = "None yet: choose another class at an image or a cell.";
  at("patients").replaceChildren(patients(told.answer));
  const base = `/api/jobs/${job}`;
  at("downloads").replaceChildren(link(`${base}/fields.csv`, "Images (CSV)"), link(`${base}/cells.csv`, "Cells (CSV)"), link(`${base}/report.html`, "Everything on one page (HTML)"));
  at("images").replaceChildren(...told.answer.fields.map((field, number) => image(field, told.words[number], number, told.explained)));
  const failed = Object.entries(told.answer.failed).map(([name, why]) => make("p", { className: "bad" }, `${name}: ${why}`));
  at("images").append(...failed);
  at("result").hidden = false;
  say("Done.");
  at("result-title").focus();
}

async function save() {
  try {
    const answer = await ask(`/api/jobs/${job}/corrections`, { method: "POST", body: JSON.stringify(fixes), headers: { "content-type": "application/json" } });
    const url = URL.createObjectURL(await answer.blob());
    make("a", { href: url, download: "corrections.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  } catch (error) {
    say(error.message, true);
  }
}

async function forget() {
  try {
    await ask(`/api/jobs/${job}`, { method: "DELETE" });
    at("result").hidden = true;
    say("Deleted.");
  } catch (error) {
    say(error.message, true);
  }
}

at("ask").addEventListener("submit", send);
at("save").addEventListener("click", save);
at("forget").addEventListener("click", forget);
for (const id of ["files", "folder"]) {
  at(id).addEventListener("change", () => {
    dropped = [];
    tellChosen();
  });
}
for (const kind of ["dragover", "dragleave", "drop"]) {
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
  });
}
at("drop").addEventListener("drop", async (event) => {
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  dropped = found;
  tellChosen();
});
