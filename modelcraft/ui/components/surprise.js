// The text as each rung read it. The arrow keys move from character to character; the line below says how it was rated.
const find = name => element.querySelector(`.mc-surprise-${name}`);
const about = (panel, i) => {
  const [character, bits, likeliest, share] = panel.cells[i];
  const name = `“${sign(character)}”`;
  if (bits === null) return i === panel.first ? `${name}: the first, with nothing before it`
    : `${name}: not in the vocabulary, so left out of the reading`;
  const instead = likeliest === character ? 'nothing was likelier'
    : `likeliest was “${sign(likeliest)}” with ${percent(share)}`;
  return `${name}: ${bits.toFixed(1)} bits, a chance of ${percent(2 ** -bits)}; ${instead}`;
};
const lay = panel => {
  const box = make('section', 'mc-surprise-panel'), text = make('div', 'mc-surprise-text mc-scrolls');
  const said = make('p', 'mc-surprise-said', 'Point at a character, or go there with the arrow keys.');
  said.setAttribute('aria-live', 'polite');
  const spans = panel.cells.map(([character, bits], i) => {
    const shown = /[ \n\t]/.test(character) ? character : sign(character);
    const span = make('span', bits !== null ? '' : i === panel.first ? 'mc-surprise-beginning' : 'mc-surprise-stranger', shown);
    if (shown.length > 4) span.classList.add('mc-surprise-code');
    if (bits !== null) span.style.setProperty('--heat', Math.min(1, bits / 8).toFixed(3));
    return span;
  });
  let at = 0;
  const go = to => {
    spans[at].classList.remove('mc-surprise-here');
    at = Math.max(0, Math.min(spans.length - 1, to));
    spans[at].classList.add('mc-surprise-here');
    said.textContent = about(panel, at);
  };
  text.append(...spans);
  text.setAttribute('role', 'group');
  text.setAttribute('aria-label', `The text as ${panel.name} read it`);
  text.onpointerover = event => { const i = spans.indexOf(event.target); if (i >= 0) go(i); };
  onArrows(text, step => {
    go(at + step);
    const {offsetTop, offsetHeight} = spans[at];
    if (offsetTop < text.scrollTop || offsetTop + offsetHeight > text.scrollTop + text.clientHeight) text.scrollTop = offsetTop - 4;
  });
  const head = make('p', 'mc-surprise-head', make('h2', '', panel.name), make('span', 'mc-surprise-bits',
    panel.bits === null ? 'nothing to score' : `${panel.bits.toFixed(2)} bits a character`));
  box.append(head, text, said, make('p', 'mc-surprise-note', panel.reads && `Read ${panel.reads}.`));
  return box;
};
const draw = () => {
  const {panels = [], verdict = '', said = ''} = props.value ?? {};
  const tops = [...element.querySelectorAll('.mc-surprise-text')].map(text => text.scrollTop);
  if (find('verdict').dataset.said !== verdict) find('verdict').replaceChildren(...explained(verdict));
  find('verdict').dataset.said = verdict;
  find('key').style.visibility = panels.length ? '' : 'hidden';
  find('first').textContent = said;
  find('first').hidden = !said;
  find('panels').replaceChildren(...panels.map(lay));
  [...element.querySelectorAll('.mc-surprise-text')].forEach((text, i) => { text.scrollTop = tops[i] ?? 0; });
};
draw();
watch('value', draw);
onTyped('#surprise-text', () => trigger('input'));
// The first example waits for a guess; a text that came with the address is read at once.
const {example} = props.value ?? {};
setTimeout(() => {
  const text = document.querySelector('#surprise-text textarea')?.value;
  if (example && text && text !== example) trigger('input');
});
