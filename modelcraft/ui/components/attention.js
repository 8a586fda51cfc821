// The first line has the characters that look; if they look at another text, that text is the second line.
const shown = character => character === '\n' ? '⏎\n' : character === ' ' ? ' ' : sign(character);
const text = element.querySelector('.mc-attention-text'), source = element.querySelector('.mc-attention-source');
const said = element.querySelector('.mc-attention-said');
let at = 0, lookers = [], looked = [];
const choose = to => {
  const {rows = '', columns = '', weights = []} = props.value ?? {};
  if (!weights.length) return;
  at = Math.max(0, Math.min(lookers.length - 1, to));
  const row = weights[at];
  looked.forEach((span, i) => { span.style.setProperty('--heat', Math.sqrt(row[i]).toFixed(3)); });
  lookers.forEach((span, i) => { span.classList.toggle('mc-attention-here', i === at); });
  const best = row.map((share, i) => [share, i]).sort((a, b) => b[0] - a[0]).slice(0, 3)
    .map(([share, i]) => `“${sign([...columns][i])}” ${Math.round(100 * share)}\u00a0%`).join(', ');
  said.textContent = `“${sign([...rows][at])}” looks at ${best}.`;
};
const draw = () => {
  const {rows = '', columns = '', at: last = 0} = props.value ?? {};
  lookers = [...rows].map(character => make('span', '', shown(character)));
  text.replaceChildren(...lookers);
  const same = rows === columns;
  looked = same ? lookers : [...columns].map(character => make('span', '', shown(character)));
  source.replaceChildren(...(same ? [] : looked));
  said.textContent = '';
  choose(last);
};
text.onclick = event => { const i = lookers.indexOf(event.target); if (i >= 0) choose(i); };
text.onpointerover = text.onclick;
onArrows(text, step => choose(at + step));
draw();
watch('value', draw);
