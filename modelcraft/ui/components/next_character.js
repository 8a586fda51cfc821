const draw = () => {
  const {text = '', lines = [], strip = [], drawn = 0, dart = 0, rest, kept = 0, notice = ''} = props.value ?? {};
  // The longest bar fills its column; both columns have the same scale.
  const most = Math.max(1e-9, ...lines.flatMap(([, raw, after]) => [raw, after]), ...(rest ?? []).slice(1));
  const bar = (share, kind) => {
    const cell = make('td', `mc-next-${kind}`), line = make('span', 'mc-next-bar');
    line.style.setProperty('--share', share / most);
    cell.append(line, make('span', 'mc-next-number', kind === 'after' && !share ? 'cut' : percent(share)));
    return cell;
  };
  const tail = text.slice(-240), find = name => element.querySelector(`.mc-next-${name}`);
  find('text').replaceChildren(make('span', '', tail), make('b', '', lines.length ? sign(lines[drawn][0]) : ''));
  find('note').textContent = notice;
  find('text').scrollTop = 1e6;
  const body = element.querySelector('tbody');
  body.replaceChildren(...lines.map(([character, raw, after], i) => {
    const name = i === drawn ? 'mc-next-drawn' : after ? '' : 'mc-next-cut', row = make('tr', name);
    const head = make('th', '', sign(character));
    head.scope = 'row';
    row.append(head, bar(raw, 'raw'), bar(after, 'after'));
    return row;
  }));
  if (rest?.[0]) {
    const row = make('tr', rest[2] ? 'mc-next-rest' : 'mc-next-rest mc-next-cut');
    const head = make('th', '', `${rest[0]} others`);
    head.scope = 'row';
    row.append(head, bar(rest[1], 'raw'), bar(rest[2], 'after'));
    body.append(row);
  }
  find('laid').replaceChildren(...strip.map(([character, share]) => {
    const part = make('span', '', share > .03 ? sign(character) : '');
    part.style.flexGrow = share;
    if (lines[drawn]?.[0] === character) part.className = 'mc-next-drawn';
    return part;
  }));
  find('dart').style.left = `${100 * dart}%`;
  find('dart').hidden = !lines.length;
  find('said').textContent = lines.length ? `The dart fell at ${dart.toFixed(3)}, on “${sign(lines[drawn][0])}”. `
    + `${kept} of ${lines.length + (rest?.[0] ?? 0)} characters can be drawn.` : '';
};
draw();
watch('value', draw);
