// The odds as bars, and laid end to end as a strip that the dart hits. What cannot be read is said below the text.
const find = name => element.querySelector(`.mc-next-${name}`);
const page = element.querySelector('.mc-next'), body = element.querySelector('tbody');
const focus = handOver('#next-run', '#next-stop');
let ran = false;
find('model').append(...explained('model: softmax'));
onTyped('#next-text', () => trigger('input'), 150);

const draw = () => {
  const {lines = [], strip = [], drawn = 0, dart = 0, rest, kept = 0, notice = '', running = false} = props.value ?? {};
  // The longest bar fills its column; both columns have the same scale.
  const most = Math.max(1e-9, ...lines.flatMap(([, raw, after]) => [raw, after]), ...(rest ?? []).slice(1));
  const bar = (share, kind) => {
    const cell = make('td', `mc-next-${kind}`), line = make('span', 'mc-next-bar');
    line.style.setProperty('--share', share / most);
    cell.append(line, make('span', 'mc-next-number', kind === 'after' && !share ? 'cut' : percent(share)));
    return cell;
  };
  const row = (name, text, raw, after) => {
    const head = Object.assign(make('th', '', text), {scope: 'row'});
    return make('tr', name, head, bar(raw, 'raw'), bar(after, 'after'));
  };
  page.classList.toggle('mc-next-empty', !lines.length);
  page.setAttribute('aria-busy', running);
  find('note').textContent = notice;
  body.replaceChildren(...lines.map(([character, raw, after], i) =>
    row(i === drawn ? 'mc-next-drawn' : after ? '' : 'mc-next-cut', sign(character), raw, after)));
  if (rest?.[0]) body.append(row(rest[2] ? 'mc-next-rest' : 'mc-next-rest mc-next-cut', `${rest[0]} others`, rest[1], rest[2]));
  find('laid').replaceChildren(...strip.map(([character, share]) => {
    const part = make('span', '', share > .03 ? sign(character) : '');
    part.style.flexGrow = share;
    if (lines[drawn]?.[0] === character) part.className = 'mc-next-drawn';
    return part;
  }));
  find('dart').style.left = `${100 * dart}%`;
  find('said').replaceChildren(...lines.length
    ? ['The dart fell on “', make('b', '', sign(lines[drawn][0])), `”, at ${dart.toFixed(3)}: Step writes it.`] : []);
  find('kept').textContent = lines.length ? `${kept} of ${lines.length + (rest?.[0] ?? 0)} characters can be drawn.` : '';
  if (running !== ran) focus(running ? '#next-stop' : '#next-run');
  ran = running;
};
draw();
watch('value', draw);
