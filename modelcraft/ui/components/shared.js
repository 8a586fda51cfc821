// What the components share; it comes before the script of each.

// Make an element with a class and children, which may be text.
const make = (tag, name = '', ...children) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children);
  return node;
};

// Make an element of a picture in SVG, with its attributes and a text.
const shape = (tag, values, text = '') => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};

// A visible sign for a character that is invisible or would change the direction of text beside it; as `plots.sign`.
const sign = character => ({' ': '␣', '\n': '⏎', '\t': '⇥', '\x7f': '␡'})[character]
  ?? (character < ' ' ? String.fromCharCode(0x2400 + character.charCodeAt(0))
    : /[\p{C}\p{Zl}\p{Zp}]/u.test(character)
      ? `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`
      : /\p{M}/u.test(character) ? `◌${character}` : character);

// A share in per cent, with one decimal where it is small.
const percent = share => share >= .0995 ? `${(100 * share).toFixed(0)}\u00a0%`
  : share >= .0005 ? `${(100 * share).toFixed(1)}\u00a0%` : share > 0 ? '<\u00a00.1\u00a0%' : '0';

// Of buttons that take each other's place, give the next one the focus that the last one had: keyboard users stay there.
const handOver = (...buttons) => {
  let last = null;
  document.addEventListener('focusin', event => { last = event.target; });
  return next => setTimeout(() => {
    if (last?.closest(buttons.join()) && [document.body, last].includes(document.activeElement))
      document.querySelector(next)?.focus({preventScroll: true});
  }, 50);
};

// Make a whole text one tab stop, in which the arrow keys go from character to character; `move` gets the distance.
const onArrows = (node, move) => {
  node.tabIndex = 0;
  node.onkeydown = event => {
    const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, Home: -1e6, End: 1e6}[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    move(step);
  };
};

// A picture that the server drew, {title, svg, alt}, and a page of text beside one, {title, text}.
const drawnPicture = ({title, svg, alt}) => {
  const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
  const drawn = document.importNode(parsed.documentElement, true);
  drawn.removeAttribute('width');
  drawn.removeAttribute('height');
  drawn.setAttribute('role', 'img');
  drawn.setAttribute('aria-label', alt);
  return make('figure', 'mc-plot', make('figcaption', '', title), drawn);
};
const writtenPage = ({title, text}) => {
  const words = make('pre', 'mc-plot-text', text);
  words.tabIndex = 0;
  words.setAttribute('aria-label', title);
  words.setAttribute('role', 'region');
  return make('figure', 'mc-plot', make('figcaption', '', title), words);
};

// Call `act` when nothing was typed into a field of the page for a moment. (Gradio's own event comes at each key.)
const onTyped = (field, act, pause = 300) => {
  let last = 0;
  document.addEventListener('input', ({target}) => {
    if (!target.closest(field)) return;
    clearTimeout(last);
    last = setTimeout(act, pause);
  });
};
