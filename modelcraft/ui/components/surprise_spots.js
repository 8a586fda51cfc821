// The spots that surprised each rung most, each with what stands before it, as far as a line has room.
const ROOM = 13;
const signs = before => {
  const shown = [...before].map(sign);
  while (shown.join('').length > ROOM) shown.shift();
  return shown.join('');
};
const draw = () => element.querySelector('.mc-spots').replaceChildren(...(props.value ?? []).map(({name, spots}) => {
  const table = make('table', 'mc-surprise-spots', make('caption', '', `What surprised ${name} most`)), body = make('tbody');
  body.append(...spots.map(({before, character, bits, instead, share}) => {
    const where = make('td', '', signs(before), make('b', '', sign(character)));
    return make('tr', '', where, make('td', 'mc-spots-number', `${bits.toFixed(1)}\u00a0bits`),
      make('td', '', `likeliest ${sign(instead)}, ${percent(share)}`));
  }));
  table.append(body);
  return table;
}));
draw();
watch('value', draw);
