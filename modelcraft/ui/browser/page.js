// The tab "In your browser", and the page of a static Space: `mount` brings the markup of browser.html, browser_line.html
// and browser_dials.html to life.
//
// A description of a model says what it is and where its weights are; they are fetched when the first text is asked for.
import {Tokenizer} from "./tokenizer.js";

const MOST_SEED = 2 ** 32;
const OPENINGS = [  // a line to begin with, and what it is
  ["ROMEO:", "a name, as in a play"], ["The king is ", "the start of a sentence"], ["To be, or not to be", "Hamlet is not in the corpus"],
];

// `base` is the address of this folder. Returns `open`, which takes the address of a description.
export function mount(root, base) {
  const part = name => root.querySelector(`.mc-browser-${name}`);
  const [said, bar, page, prompt, text, first] = ["said", "bar", "page", "prompt", "text", "first"].map(part);
  const form = root.querySelector("form"), field = name => root.querySelector(`[name=${name}]`);
  const [go, stop, line, seed] = ["go", "stop", "line", "seed"].map(field);
  const compare = field("compare");
  let worker = null, arriving = null;  // arriving: resolves when the worker has the model
  let model = null, tokenizer = null;
  let number = 0, heard = null;  // of the text that is written, and who hears of it
  let last = null;  // what was asked for, and what was written to its end
  let stopped = -Infinity;  // when

  const say = sentence => { said.textContent = sentence; };
  const writing = on => {
    go.hidden = on;
    stop.hidden = !on;
    compare.disabled = on || !last;
    page.setAttribute("aria-busy", on);
    page.classList.toggle("mc-writing", on);
    if (document.activeElement === document.body) (on ? stop : go).focus({preventScroll: true});
  };
  const size = bytes => bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const speed = number => `${Math.round(number).toLocaleString("en")} characters a second, in this browser`;

  async function open(address) {
    leave();
    last = null;
    go.disabled = true;
    writing(false);
    const mine = number, response = await fetch(address), found = await response.json().catch(() => ({}));
    if (mine !== number) return;  // another model was chosen meanwhile
    if (!response.ok) return say(found.problem ?? "The model did not arrive; load the page again.");
    model = {...found, weights: new URL(found.weights, address).href};
    tokenizer = new Tokenizer(model.vocabulary, model.rules);
    compare.hidden = !model.api;
    offer();
    introduce();
    go.disabled = false;
  }

  const introduce = () =>
    say(`${model.name} · ${model.parameters.toLocaleString("en")} parameters · ${size(model.bytes)}, fetched once`);

  // Offers those openings that the model can read.
  function offer() {
    part("openings").replaceChildren(...OPENINGS.flatMap(([opening, note]) => {
      if (tokenizer.encode(opening).left.length) return [];
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: opening});
      button.addEventListener("click", () => {
        line.value = opening;
        form.requestSubmit();
      });
      const place = document.createElement("div");
      place.append(button, Object.assign(document.createElement("small"), {textContent: note}));
      return [place];
    }));
  }

  // Gives up the worker, with all that it fetches or writes.
  function leave() {
    worker?.terminate();
    worker = arriving = null;
    number++;
    bar.hidden = true;
  }

  // Fetches the model into a worker, unless that is done or under way.
  function ready() {
    arriving ??= new Promise((resolve, reject) => {
      worker = new Worker(new URL("worker.js", base), {type: "module"});
      worker.onerror = () => reject(new Error("This browser runs no module workers; update it, or use the chat."));
      worker.onmessage = ({data}) => {
        if (data.text !== undefined) {
          if (data.text === number) heard(data);  // else of a text that was stopped
          return;
        }
        if (data.problem) reject(new Error(data.problem));
        if (data.loaded !== undefined) {
          bar.hidden = false;
          bar.value = data.loaded / (data.total || model.bytes);
          say(`Fetching ${model.name}: ${size(data.loaded)} of ${size(data.total || model.bytes)}`);
        }
        if (data.ready) {
          bar.hidden = true;
          worker.ready = true;
          resolve();
        }
      };
      const {script, config, weights} = model;
      worker.postMessage({do: "load", script, config, weights});
    });
    return arriving;
  }

  async function write() {
    const chosen = seed.value.trim() === "" ? Math.floor(Math.random() * MOST_SEED) : Number(seed.value);
    if (!Number.isSafeInteger(chosen) || chosen < 0) return say("The seed is a whole number of up to 15 digits, or nothing.");
    const {ids, left} = tokenizer.encode(line.value);
    if (!ids.length) return say("Write a line first, such as ROMEO:");
    const mine = ++number;
    last = null;
    writing(true);
    try {
      await ready();
    } catch (error) {
      if (mine !== number) return;
      leave();
      writing(false);
      return say(error.message);
    }
    if (mine !== number) return;
    first.hidden = true;
    prompt.textContent = tokenizer.decode(ids);
    text.textContent = "";
    const missing = left.length ? ` · left out, for the model does not know it: ${left.join(" ")}` : "";
    heard = data => {
      if (data.problem) {
        writing(false);
        return say(data.problem);
      }
      const follows = page.scrollHeight - page.scrollTop - page.clientHeight < 8;
      text.append(tokenizer.decode(data.ids));
      if (follows) page.scrollTop = page.scrollHeight;
      say(`${speed(data.speed)} · seed ${chosen}${missing}`);
      if (!data.done) return;
      last = {prompt: prompt.textContent, params, text: text.textContent, speed: data.speed};
      writing(false);
    };
    const params = {seed: chosen};
    for (const dial of ["length", "temperature", "topK", "topP"]) params[dial] = Number(field(dial).value);
    worker.postMessage({do: "write", text: mine, ids, params});
  }

  // Lets the server write the same with the same seed, and says who was faster and whether the texts agree.
  async function compared() {
    const mine = last, {text: here, speed: ours} = mine, begun = performance.now();
    compare.disabled = true;
    say("The server writes the same …");
    const {text: there, problem} = await fromServer(mine).catch(() => ({}));
    if (mine !== last) return;  // another text is asked for, or another model
    compare.disabled = false;
    if (there === undefined) return say(problem ?? "The server did not answer; try again.");
    const theirs = here.length / (performance.now() - begun) * 1000;
    const same = there === here ? "the same text, letter by letter" : "another text: a number was rounded otherwise";
    const rounded = speed => Math.round(speed).toLocaleString("en");
    say(`This browser: ${rounded(ours)} characters a second · the server, with the way there: ${rounded(theirs)} · ${same}`);
  }

  // The text that the server writes for what was asked here, or the problem that it has with it.
  async function fromServer({prompt, params}) {
    const call = new URL(model.api, document.baseURI), headers = {"Content-Type": "application/json"};
    const asked = {
      prompt, model: model.id, length: params.length, temperature: params.temperature, top_k: params.topK,
      top_p: params.topP, seed: params.seed,
    };
    const {event_id, error} = await (await fetch(call, {method: "POST", headers, body: JSON.stringify(asked)})).json();
    if (!event_id) return {problem: error};
    const events = await (await fetch(`${call}/${event_id}`)).text();
    const answer = JSON.parse(events.trimEnd().split("data: ").at(-1));
    return Array.isArray(answer) ? {text: answer[0]} : {problem: answer?.error};
  }

  compare.addEventListener("click", compared);
  form.addEventListener("submit", event => {
    event.preventDefault();
    const twice = event.submitter && performance.now() - stopped < 500;  // Stop, where Write is now, was clicked twice
    if (!go.hidden && !go.disabled && !twice) write();
  });
  stop.addEventListener("click", () => {
    stopped = performance.now();
    number++;  // what comes of the text from now on is not heard
    if (worker?.ready) worker.postMessage({do: "stop"});
    else {
      leave();
      introduce();
    }
    writing(false);
  });
  line.addEventListener("keydown", event => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  for (const dial of root.querySelectorAll(".mc-browser input[type=range]")) {
    const shown = dial.parentElement.querySelector("output");
    const show = () => { shown.textContent = dial.value; };
    dial.addEventListener("input", show);
    show();
  }
  return {open};
}
