// The trials: one picture (or two of one scene) at a time, answered by key, click or touch. An answer is kept in the
// browser until the server has acknowledged it, and sent again with the same id until then.
"use strict";

(() => {
  const main = document.getElementById("trials");
  const element = (id) => document.getElementById(id);
  const setting = (name) => Number(main.getAttribute(`data-${name}`));
  const base = main.getAttribute("data-base");
  const buttons = [...document.querySelectorAll("#answers button")];
  const stage = element("stage");
  const PENDING = `study-pending:${base}`;
  const LONGEST_WAIT_MS = 8000;
  const REQUEST_TIMEOUT_MS = 15000;

  let trial = null; // what is open now
  let onset = 0; // when its picture appeared, by performance.now()
  let accepting = false;
  let focusLost = 0;
  let away = false;
  let sawPractice = false;
  const pictures = new Map(); // trial index -> promise of its decoded images

  function say(name, values = {}) {
    let text = main.getAttribute(`data-text-${name}`);
    for (const [key, value] of Object.entries(values)) text = text.replace(`{${key}}`, value);
    return text;
  }

  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const tell = (text) => { element("message").textContent = text; };

  function makeId() { // crypto.randomUUID exists on https only
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  function remember(pending) {
    try {
      if (pending) localStorage.setItem(PENDING, JSON.stringify(pending));
      else localStorage.removeItem(PENDING);
    } catch { /* private mode: the page alone keeps the answer */ }
  }

  function remembered() {
    try {
      return JSON.parse(localStorage.getItem(PENDING));
    } catch {
      return null;
    }
  }

  class Stopped extends Error {}

  function stop() {
    setAccepting(false);
    tell(say("stopped"));
    throw new Stopped();
  }

  // One request; null means: not reached or not able to, try again.
  async function request(path, options = {}) {
    const control = new AbortController();
    const timer = setTimeout(() => control.abort(), REQUEST_TIMEOUT_MS);
    try {
      const response = await fetch(base + path, { ...options, signal: control.signal, cache: "no-store" });
      if (response.status === 429 || response.status >= 500) return null;
      return { status: response.status, body: await response.json() };
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  async function persist(path, options, complaint) {
    let complained = false;
    for (let pause = 400; ; pause = Math.min(2 * pause, LONGEST_WAIT_MS)) {
      const answer = await request(path, options());
      if (answer) {
        if (complained) tell(say("saved-again"));
        return answer;
      }
      tell(say(complaint));
      complained = true;
      await wait(pause + 200 * Math.random());
    }
  }

  async function fetchTrial() {
    const answer = await persist("/api/trial", () => ({}), "loading-failed");
    if (answer.status === 200) return answer.body.trial;
    if (answer.status === 409 || answer.status === 401) { // another step, or no session: see there
      location.replace(`${base}/`);
      throw new Stopped();
    }
    return stop();
  }

  // Send an answer until the server has it; returns what the server says then.
  async function deliver(pending) {
    for (;;) {
      const answer = await persist("/api/vote", () => ({
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(pending.ballot),
      }), "saving-failed");
      if (answer.status === 200) {
        remember(null);
        return answer.body;
      }
      if (answer.status === 403 && answer.body.error === "expired") {
        const fresh = await fetchTrial();
        if (fresh && fresh.index === pending.index) {
          pending.ballot.token = fresh.token;
          remember(pending);
          continue;
        }
      }
      remember(null); // answered already, or not ours: the server says where we are
      return { correct: null, trial: await fetchTrial() };
    }
  }

  // By trial, not by address: a picture loaded ahead has an older signature than the open one.
  function load(index, addresses) {
    if (!pictures.has(index)) {
      const decoded = Promise.all(addresses.map((address) => {
        const image = new Image();
        image.draggable = false;
        image.src = address;
        return image.decode().then(() => image);
      }));
      decoded.catch(() => pictures.delete(index));
      pictures.set(index, decoded);
    }
    return pictures.get(index);
  }

  // The open trial's pictures; their addresses are renewed when they have expired.
  async function openPictures() {
    for (let pause = 400; ; pause = Math.min(2 * pause, LONGEST_WAIT_MS)) {
      try {
        return await load(trial.index, trial.pictures);
      } catch {
        tell(say("loading-failed"));
        await wait(pause);
        const fresh = await fetchTrial();
        if (!fresh) {
          location.replace(`${base}/`);
          throw new Stopped();
        }
        trial = fresh;
      }
    }
  }

  function setAccepting(value) {
    accepting = value;
    for (const button of buttons) button.setAttribute("aria-disabled", String(!value));
  }

  function mask(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const pen = canvas.getContext("2d");
    for (let y = 0; y < canvas.height; y += 8) {
      for (let x = 0; x < canvas.width; x += 8) {
        const [red, green, blue] = [0, 0, 0].map(() => Math.floor(256 * Math.random()));
        pen.fillStyle = `rgb(${red} ${green} ${blue})`;
        pen.fillRect(x, y, 8, 8);
      }
    }
    return canvas;
  }

  async function hideAfter(exposure, images, shown) {
    const noise = images.map(mask);
    while (performance.now() - onset < exposure - 8) { // half a frame early is nearest
      await frame();
      if (trial !== shown || !accepting) return;
    }
    stage.replaceChildren(...noise);
    await wait(setting("mask-ms"));
    if (trial === shown && stage.firstChild === noise[0]) stage.replaceChildren();
  }

  function panel(heading, text) {
    element("panel-heading").textContent = heading;
    element("panel-heading").hidden = !heading;
    element("panel-text").textContent = text;
    element("answers").hidden = true;
    element("panel").hidden = false;
    element("onward").focus();
    return new Promise((resolve) => {
      element("onward").onclick = () => {
        element("panel").hidden = true;
        element("answers").hidden = false;
        element("onward").onclick = null;
        buttons[0].focus({ preventScroll: true, focusVisible: false });
        resolve();
      };
    });
  }

  function showProgress() {
    const values = { number: trial.number, total: trial.total };
    element("bar").max = trial.total;
    element("bar").value = trial.number - 1;
    element("progress").textContent = say(trial.practice ? "practice-progress" : "progress", values);
  }

  async function present() {
    stage.replaceChildren();
    showProgress();
    if (!trial.practice && trial.number === 1 && sawPractice) {
      await panel(say("practice-done-heading"), say("practice-done-text"));
    } else if (trial.break) {
      const values = { done: trial.number - 1, total: trial.total };
      await panel(say("break-heading"), say("break-text", values));
    }
    sawPractice = trial.practice;
    const slow = setTimeout(() => tell(say("loading")), 1000);
    const [images] = await Promise.all([openPictures(), wait(setting("blank-ms"))]);
    clearTimeout(slow);
    const shown = trial;
    const values = { number: shown.number, total: shown.total };
    const title = say(shown.practice ? "practice-alt" : "picture-alt", values);
    images.forEach((image, place) => {
      image.alt = images.length === 1 ? title : `${title}, ${say(place ? "right-alt" : "left-alt")}`;
    });
    await frame();
    stage.replaceChildren(...images);
    onset = performance.now();
    focusLost = 0;
    tell("");
    element("announce").textContent = title;
    setAccepting(true);
    if (shown.exposure) hideAfter(shown.exposure, images, shown);
    if (shown.following.length) load(shown.index + 1, shown.following).catch(() => {});
  }

  async function answer(value) {
    if (!accepting) return;
    const elapsed = performance.now() - onset;
    setAccepting(false);
    const answered = trial;
    const pending = {
      index: answered.index,
      ballot: {
        id: makeId(),
        token: answered.token,
        answer: value,
        rt_ms: Math.round(10 * elapsed) / 10,
        focus_lost: focusLost,
        viewport_width: Math.round(innerWidth),
        viewport_height: Math.round(innerHeight),
        pixel_ratio: devicePixelRatio,
      },
    };
    remember(pending);
    if (!(answered.practice && setting("feedback"))) stage.replaceChildren();
    const receipt = await deliver(pending);
    if (receipt.correct !== null && receipt.correct !== undefined) {
      tell("");
      const wasFirst = (value === "realistic" || value === "left") === receipt.correct;
      await panel(
        say(receipt.correct ? "feedback-right" : "feedback-wrong"),
        say(wasFirst ? "feedback-real" : "feedback-fake"),
      );
    }
    pictures.delete(answered.index);
    await go(receipt.trial);
  }

  async function go(next) {
    trial = next;
    if (trial) return present();
    stage.replaceChildren();
    tell(say("finished"));
    location.replace(`${base}/`);
  }

  const guarded = (promise) => promise.catch((error) => {
    if (!(error instanceof Stopped)) {
      setAccepting(false);
      tell(say("stopped"));
    }
  });

  for (const button of buttons) {
    button.addEventListener("click", () => guarded(answer(button.dataset.answer)));
  }
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !accepting) return;
    const side = { f: 0, arrowleft: 0, j: 1, arrowright: 1 }[event.key.toLowerCase()];
    if (side === undefined) return;
    event.preventDefault();
    guarded(answer(buttons[side].dataset.answer));
  });
  document.addEventListener("visibilitychange", () => lose(document.hidden));
  window.addEventListener("blur", () => lose(true));
  window.addEventListener("focus", () => lose(false));
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  function lose(isAway) {
    if (isAway && !away) focusLost += 1;
    away = isAway;
  }

  async function begin() {
    const pending = remembered();
    const receipt = pending && pending.ballot ? await deliver(pending) : null;
    await go(receipt ? receipt.trial : await fetchTrial());
  }

  guarded(begin());
})();
