// The spots that surprised each rung most.
const draw = () => element.querySelector('.mc-spots').replaceChildren(...(props.value ?? []).map(({name, spots}) => {
  const table = make('table', 'mc-surprise-spots', make('caption', '', `What surprised ${name} most`)), body = make('tbody');
  body.append(...spots.map(({before, character, bits, instead, share}) => {
    const where = make('td', '', [...before].map(sign).join(''), make('b', '', sign(character)));
    return make('tr', '', where, make('td', 'mc-spots-number', `${bits.toFixed(1)}\u00a0bits`),
      make('td', '', `likeliest ${sign(instead)}, ${percent(share)}`));
  }));
  table.append(body);
  return table;
}));
draw();
watch('value', draw);
