/**
 * Runs in the browser, hence a text: the types of a browser have no place in this project. It knows the manifest's hashes, so it
 * hashes only small files itself; the server compares all of them. Everything is shown as text, never as HTML.
 */
export const PAGE_SCRIPT = String.raw`"use strict";
(() => {
  const PIECE = 32 * 1024 * 1024;
  const SMALL = 16 * 1024 * 1024;
  const AT_A_TIME = 2;
  const MANIFEST = "manifest.json";
  const COMPANIONS = ["OPENING.txt", "SHA256SUMS", "report.html"];
  const KEPT = "synlift-invitation";
  const at = (id) => document.getElementById(id);
  /** What is being sent from here, by name. */
  const here = new Map();
  /** Names, sizes and hashes that the manifest lists, as far as it is known here. */
  let listed = new Map();
  let token = "";
  let status;
  let timer;

  const size = (bytes) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = 0;
    while (bytes >= 1024 && step < units.length - 1) { bytes /= 1024; step += 1; }
    return (step === 0 ? bytes : bytes.toFixed(1)) + " " + units[step];
  };
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  const headers = (more) => ({ "Tus-Resumable": "1.0.0", Authorization: "Bearer " + token, ...more });

  class Refused extends Error {
    constructor(code, status, message) { super(message); this.code = code; this.status = status; }
  }
  const refusal = (status, text) => {
    let said = {};
    try { said = JSON.parse(text); } catch { /* A proxy replied. */ }
    return new Refused(said.error || "", status, said.message || "the server replied with status " + status);
  };
  const ask = async (method, path, more) => {
    const answer = await window.fetch(path, { method, headers: headers(more), cache: "no-store" });
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    return answer;
  };

  /** A part of a file, with progress. */
  const sendPiece = (path, from, piece, tell) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PATCH", path);
      const all = headers({ "Upload-Offset": String(from), "Content-Type": "application/offset+octet-stream" });
      for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
      request.upload.onprogress = (event) => tell(from + event.loaded);
      request.onload = () => (request.status === 204 ? resolve() : reject(refusal(request.status, request.responseText)));
      request.onerror = () => reject(new Error("the connection was lost"));
      request.send(piece);
    });

  const mayPass = (error) =>
    !(error instanceof Refused) || error.status === 423 || error.code === "offset" || error.status === 408 || error.status >= 500 && error.status !== 507;

  async function send(job) {
    for (let failures = 0; ; ) {
      try {
        const metadata = "filename " + base64(job.name) + ",sha256 " + base64(job.sha256);
        const made = await ask("POST", "uploads", { "Upload-Length": String(job.file.size), "Upload-Metadata": metadata });
        const path = made.headers.get("Location");
        for (let from = Number(made.headers.get("Upload-Offset")); from < job.file.size; ) {
          const to = Math.min(job.file.size, from + PIECE);
          await sendPiece(path, from, job.file.slice(from, to), (sent) => { job.sent = sent; job.said = ""; drawFile(job.name); });
          from = to;
          failures = 0;
        }
        job.state = "sent";
        return;
      } catch (error) {
        if (error instanceof Refused && error.code === "invitation") { leave(error.message); return; }
        if (error instanceof Refused && error.code === "hash") {
          job.state = "wrong";
          job.said = "this is not the file that the manifest lists: take it from the bundle's folder again";
          return;
        }
        if (!mayPass(error)) { job.state = "wrong"; job.said = error.message; return; }
        if (error instanceof DOMException && error.name === "NotReadableError") {
          job.state = "wrong"; job.said = "this file cannot be read any more: choose it again"; return;
        }
        failures += 1;
        const seconds = Math.min(30, 2 ** failures);
        job.said = "interrupted; trying again in " + seconds + " s";
        drawFile(job.name);
        await wait(seconds * 1000);
      }
    }
  }

  let running = 0;
  function pump() {
    for (const job of here.values()) {
      if (running >= AT_A_TIME) return;
      if (job.state !== "queued") continue;
      // Nothing else is sent before the manifest: it says what belongs to the bundle.
      if (job.name !== MANIFEST && here.get(MANIFEST) && ["queued", "sending"].includes(here.get(MANIFEST).state)) continue;
      job.state = "sending";
      running += 1;
      send(job).catch((error) => { job.state = "wrong"; job.said = error.message; }).finally(() => {
        running -= 1;
        refresh().finally(pump);
      });
    }
  }

  async function take(files) {
    const chosen = [...files].filter((file) => file.name !== "");
    if (chosen.length === 0) return;
    fault("");
    const strangers = [];
    const manifest = chosen.find(({ name }) => name === MANIFEST);
    if (manifest && manifest.size <= SMALL) {
      try {
        const text = JSON.parse(await manifest.text());
        listed = new Map([...text.artifacts.flatMap(({ parts }) => parts), text.inventory].map((part) => [part.name, part]));
      } catch { fault("manifest.json is not a manifest of synlift: choose the folder of the bundle"); return; }
    }
    const known = manifest || listed.size > 0 || (status && status.missing);
    if (!known) {
      fault("manifest.json is missing among these files. It says what belongs to the bundle: choose it, too.");
      return;
    }
    for (const file of chosen) {
      const { name } = file;
      const arrived = status && status.files.some((one) => one.name === name && one.state === "arrived" && one.size === file.size);
      const part = listed.get(name);
      if (arrived && !wrongThere(name)) continue;
      const small = name === MANIFEST || COMPANIONS.includes(name);
      if (!part && !small) { strangers.push(name); continue; }
      if (part && part.size !== file.size) {
        here.set(name, { name, file, state: "wrong", sent: 0, said: "it has " + size(file.size) + ", and the manifest lists " + size(part.size) });
        continue;
      }
      if (["sending", "queued"].includes((here.get(name) || {}).state)) continue;
      const sha256 = part ? part.sha256 : hex(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
      here.set(name, { name, file, sha256, state: "queued", sent: 0, said: "" });
    }
    const ignored = strangers.filter((name) => !/^(sent|journal|progress|fetched|fence)\.json$|^lock|^\./.test(name));
    if (ignored.length > 0) fault("Not part of the bundle, and not sent: " + ignored.slice(0, 5).join(", ") + (ignored.length > 5 ? " and " + (ignored.length - 5) + " more" : ""));
    draw();
    pump();
  }

  const wrongThere = (name) => status.problems.some((one) => one.name === name);
  const fault = (text) => { at("fault").textContent = text; };

  function rows() {
    const all = new Map();
    for (const { name, size: bytes } of (status && status.missing) || []) all.set(name, { name, bytes, state: "missing", received: 0 });
    for (const file of (status && status.files) || []) all.set(file.name, { name: file.name, bytes: file.size, state: file.state, received: file.received, sha256: file.sha256 });
    for (const job of here.values()) {
      const row = all.get(job.name) || { name: job.name, bytes: job.file.size, received: 0 };
      if (job.state === "sent" && row.state) { if (row.state === "arrived") here.delete(job.name); continue; }
      all.set(job.name, { ...row, bytes: job.file.size, received: Math.max(job.sent, job.state === "wrong" ? 0 : row.received), state: job.state, said: job.said });
    }
    // What needs a person comes first, and what is done last.
    const rank = ({ state }) => (state === "wrong" ? 0 : state === "arrived" ? 2 : 1);
    return [...all.values()].sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  }

  const WORDS = { missing: "missing", partial: "partly here", checking: "being compared", waiting: "waits for the other files", arrived: "has arrived", queued: "waits for its turn", sending: "being sent", sent: "being compared", wrong: "wrong" };

  const drawn = new Map();
  function drawFile(name) { const row = rows().find((one) => one.name === name); if (row) drawRow(row); }
  function drawRow(row) {
    let parts = drawn.get(row.name);
    if (!parts) {
      const item = document.createElement("li");
      const make = (tag, kind) => { const one = document.createElement(tag); one.className = kind; item.append(one); return one; };
      parts = { item, name: make("span", "name"), size: make("span", "size"), said: make("span", "said"), act: make("span", "act"), bar: document.createElement("progress") };
      parts.name.textContent = row.name;
      parts.bar.setAttribute("aria-label", row.name);
      drawn.set(row.name, parts);
    }
    const wrong = row.state === "wrong" || (status && wrongThere(row.name) && row.state !== "waiting");
    parts.item.className = wrong ? "wrong" : row.state;
    parts.size.textContent = size(row.bytes);
    const share = row.bytes > 0 ? Math.floor((row.received / row.bytes) * 100) : 100;
    const moving = row.state === "sending" || row.state === "partial";
    parts.said.textContent = (row.said || WORDS[row.state] || row.state) + (moving && !row.said ? ", " + share + " %" : "");
    if (moving) { parts.bar.max = Math.max(1, row.bytes); parts.bar.value = row.received; parts.item.append(parts.bar); } else parts.bar.remove();
    const removable = (row.state === "partial" || row.state === "waiting") && row.sha256 && !here.has(row.name);
    if (removable && !parts.act.firstChild) {
      const button = document.createElement("button");
      button.type = "button"; button.className = "small"; button.textContent = "Remove";
      button.setAttribute("aria-label", "Remove " + row.name);
      button.addEventListener("click", () => {
        ask("DELETE", "uploads/" + encodeURIComponent(row.name + "." + row.sha256.slice(0, 24)))
          .catch((error) => fault(error.message)).finally(refresh);
      });
      parts.act.append(button);
    } else if (!removable && parts.act.firstChild) parts.act.replaceChildren();
    return parts.item;
  }

  function draw() {
    const all = rows();
    const list = at("files");
    const names = new Set(all.map(({ name }) => name));
    for (const [name, { item }] of drawn) if (!names.has(name)) { item.remove(); drawn.delete(name); }
    all.forEach((row, index) => {
      const item = drawRow(row);
      if (list.children[index] !== item) list.insertBefore(item, list.children[index] || null);
    });
    if (!status) return;
    const arrived = status.files.filter(({ state }) => state === "arrived");
    const open = all.filter(({ state }) => state !== "arrived").length;
    const state = at("state");
    const sentence = status.complete
      ? "The bundle of " + status.complete.subject + " has arrived completely. Every file was compared; nothing is left to do here."
      : status.missing
        ? arrived.length + " of " + (arrived.length + open) + " files have arrived."
        : arrived.length === 0 && all.length === 0
          ? "Nothing has arrived yet."
          : arrived.length + (arrived.length === 1 ? " file has" : " files have") + " arrived. The manifest, manifest.json, is missing.";
    if (state.textContent !== sentence) state.textContent = sentence;
    state.className = status.complete ? "complete" : "";
    at("send").hidden = Boolean(status.complete) && open === 0;
    at("about").textContent = status.name + ": " + size(status.used) + " of " + size(status.limit) + "; the invitation is valid until " + new Date(status.expires).toLocaleString();
    const problems = status.problems.filter(({ name }) => (here.get(name) || {}).state !== "wrong" && (name !== MANIFEST || !status.missing || status.missing.length === 0));
    at("problems").replaceChildren(...problems.map(({ message }) => { const item = document.createElement("li"); item.textContent = message; return item; }));
  }

  async function refresh() {
    clearTimeout(timer);
    if (token === "") return;
    try {
      status = await (await ask("GET", "status")).json();
      for (const part of status.missing || []) listed.set(part.name, part);
      if (at("fault").dataset.lost) { delete at("fault").dataset.lost; fault(""); }
      draw();
    } catch (error) {
      if (error instanceof Refused && error.code === "invitation") { leave(error.message); return; }
      at("fault").dataset.lost = "yes";
      fault("The server does not answer; trying again.");
    }
    const busy = running > 0 || (status && status.files.some(({ state }) => state === "checking" || state === "partial"));
    timer = setTimeout(refresh, busy ? 1000 : 5000);
  }

  function enter(given) {
    const found = /([a-z0-9][a-z0-9.-]*\.[A-Za-z0-9_-]{43})/.exec(given);
    if (!found) { fault("This is no token of an invitation: it is a name, a dot, and 43 letters and digits."); at("token").focus(); return; }
    fault("");
    token = found[1];
    sessionStorage.setItem(KEPT, token);
    at("enter").hidden = true;
    at("inbox").hidden = false;
    at("state").focus();
    refresh();
  }

  function leave(message) {
    clearTimeout(timer);
    token = "";
    status = undefined;
    listed = new Map();
    here.clear();
    sessionStorage.removeItem(KEPT);
    at("enter").hidden = false;
    at("inbox").hidden = true;
    fault(message ? message.charAt(0).toUpperCase() + message.slice(1) + ". Ask the provider for a new one." : "");
    at("token").value = "";
    at("token").focus();
  }

  at("enter").addEventListener("submit", (event) => { event.preventDefault(); enter(at("token").value); });
  at("invitation").addEventListener("change", async (event) => { if (event.target.files[0]) enter(await event.target.files[0].text()); });
  at("leave").addEventListener("click", () => leave(""));
  for (const id of ["some", "folder"])
    at(id).addEventListener("change", (event) => { take(event.target.files).finally(() => { event.target.value = ""; }); });
  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"])
    document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"])
    document.addEventListener(kind, (event) => { event.preventDefault(); if (kind === "drop" || event.relatedTarget === null) drop.classList.remove("over"); });

  const filesIn = async (entry) => {
    if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return found;
      for (const one of some) if (one.isFile) found.push(...(await filesIn(one)));
    }
  };
  document.addEventListener("drop", async (event) => {
    if (token === "") return;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
    const plain = [...event.dataTransfer.files];
    take(entries.length > 0 ? (await Promise.all(entries.map(filesIn))).flat() : plain).catch((error) => fault(error.message));
  });
  addEventListener("beforeunload", (event) => { if (running > 0) event.preventDefault(); });

  // Behind the "#" it is not sent to any server; and it does not stay in the address.
  const given = decodeURIComponent(location.hash.slice(1)) || sessionStorage.getItem(KEPT) || "";
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  at("script").hidden = true;
  at("enter").hidden = false;
  if (given !== "") enter(given);
})();
`;
