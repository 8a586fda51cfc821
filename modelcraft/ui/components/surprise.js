// The arrow keys move from character to character, and the line below says how the rung rated it.
const draw = () => {
  const {panels = [], verdict = ''} = props.value ?? {};
  element.querySelector('.mc-surprise-verdict').textContent = verdict;
  element.querySelector('.mc-surprise-panels').replaceChildren(...panels.map(panel => {
    const box = make('section', 'mc-surprise-panel'), text = make('div', 'mc-surprise-text');
    const said = make('p', 'mc-surprise-said', 'Point at a character, or go there with the arrow keys.');
    const head = make('p', 'mc-surprise-head');
    head.append(make('h2', '', panel.name), make('span', 'mc-surprise-bits',
      panel.bits === null ? 'nothing to score' : `${panel.bits.toFixed(2)} bits a character`));
    said.setAttribute('aria-live', 'polite');
    const about = i => {
      const [character, bits, likeliest, share] = panel.cells[i];
      const name = `“${sign(character)}”`;
      if (bits === null) return i === panel.first ? `${name}: the first, with nothing before it`
        : `${name}: not in the vocabulary, so left out of the reading`;
      const odds = percent(2 ** -bits);
      const instead = likeliest === character ? 'nothing was likelier'
        : `likeliest was “${sign(likeliest)}” with ${percent(share)}`;
      return `${name}: ${bits.toFixed(1)} bits, a chance of ${odds}; ${instead}`;
    };
    const spans = panel.cells.map(([character, bits], i) => {
      const span = make('span', bits !== null ? '' : i === panel.first ? 'mc-surprise-first' : 'mc-surprise-stranger',
        /[ \n\t]/.test(character) ? character : sign(character));
      if (bits !== null) span.style.setProperty('--heat', Math.min(1, bits / 8).toFixed(3));
      return span;
    });
    let at = 0;
    const go = to => {
      spans[at].classList.remove('mc-surprise-here');
      at = Math.max(0, Math.min(spans.length - 1, to));
      spans[at].classList.add('mc-surprise-here');
      said.textContent = about(at);
    };
    text.append(...spans);
    text.setAttribute('role', 'group');
    text.setAttribute('aria-label', `The text as ${panel.name} read it`);
    text.onpointerover = event => { const i = spans.indexOf(event.target); if (i >= 0) go(i); };
    onArrows(text, step => go(at + step));
    const table = make('table', 'mc-surprise-spots');
    table.append(make('caption', '', 'The most surprising spots'));
    for (const spot of panel.spots) {
      const row = make('tr'), where = make('td', '', [...spot.before].map(sign).join(''));
      where.append(make('b', '', sign(spot.character)));
      row.append(where, make('td', 'mc-surprise-number', `${spot.bits.toFixed(1)}\u00a0bits`),
        make('td', '', `likeliest: ${sign(spot.instead)}, ${percent(spot.share)}`));
      table.append(row);
    }
    const notes = [panel.reads && `Read ${panel.reads}.`,
      panel.strangers && `Not in its vocabulary, marked: ${panel.strangers}.`].filter(Boolean).join(' ');
    box.append(head, text, said, make('p', 'mc-surprise-note', notes), table);
    return box;
  }));
};
draw();
watch('value', draw);
