// One head: its map, the text above it, and what a row of it says. The steps are taken here, from the scores; the
// controls beside it say which, by the event "mc-steps".
const find = name => element.querySelector(`.mc-attention-${name}`);
const text = find('text'), source = find('source'), map = find('map'), cells = find('cells');
const shown = (character, i) => character === '\n' ? (i ? '⏎\n' : '⏎') : character === ' ' ? ' ' : sign(character);
let steps = {stage: 'softmax', scaled: true, masked: true};
let page = {}, rows = [], columns = [], lookers = [], looked = [], values = [], shares = [];
let row = 0, column = null, pointed = null;  // chosen, and while the pointer is on the picture: [row, column]

const softmax = line => {
  const most = Math.max(...line), powers = line.map(value => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map(power => power / sum);
};
const compute = () => {
  const {scores, scale, hides} = page;
  const scaled = scores.map(line => line.map(score => steps.scaled ? score * scale : score));
  const hidden = (i, j) => hides && steps.masked && j > i;
  const masked = scaled.map((line, i) => line.map((value, j) => hidden(i, j) ? -Infinity : value));
  shares = masked.map(softmax);
  values = {scores, scaled, masked, softmax: shares}[steps.stage];
};

// One scale for the steps before softmax, so that scaling is seen to shrink them. Small values are lifted by the root.
const largest = () => steps.stage === 'softmax' ? 1 : Math.max(1e-9, ...page.scores.flat().map(Math.abs));
const strength = value => Math.sqrt(Math.min(1, Math.abs(value) / largest()));
const colour = (value, most) => value === -Infinity ? [125, 113, 92, 110]
  : [...(value < 0 ? [58, 120, 170] : [200, 85, 58]), 255 * Math.sqrt(Math.min(1, Math.abs(value) / most))];
const paint = (canvas, table) => {
  [canvas.width, canvas.height] = [table[0].length, table.length];
  const context = canvas.getContext('2d'), image = context.createImageData(canvas.width, canvas.height);
  const most = largest();
  image.data.set(table.flatMap(line => line.flatMap(value => colour(value, most))));
  context.putImageData(image, 0, 0);
};
const number = value => steps.stage === 'softmax' ? percent(value)
  : value === -Infinity ? 'hidden' : value.toFixed(1).replace('-', '−');
const legend = () => {
  const soft = steps.stage === 'softmax', most = largest();
  find('legend').firstChild.textContent = soft ? 'Shares' : 'Scores, scaled, masked: one scale';
  paint(element.querySelector('.mc-attention-legend canvas'),
    [Array.from({length: 121}, (_, i) => soft ? i / 120 : (i / 60 - 1) * most)]);
  const ticks = soft ? ['0', '50\u00a0%', '100\u00a0%'] : [number(-most), '0', number(most)];
  [...find('ticks').children].forEach((tick, i) => { tick.textContent = ticks[i]; });
  find('hidden').style.visibility = steps.stage === 'masked' && steps.masked && page.hides ? '' : 'hidden';
};

const best = (line, most = 3) => line.map((value, i) => [value, i]).sort((a, b) => b[0] - a[0]).slice(0, most);
const names = line => best(line).filter(([value]) => value >= (steps.stage === 'softmax' ? .005 : -1e9))
  .map(([value, i]) => `“${sign(columns[i])}”\u00a0${number(value)}`);
const mark = () => {
  if (!values.length) return;
  const [at, to] = pointed ?? [row, column], line = values[at];
  looked.forEach((span, i) => {
    span.style.setProperty('--heat', Number.isFinite(line[i]) ? strength(line[i]).toFixed(3) : 0);
    span.classList.toggle('mc-attention-cold', line[i] < 0);
    span.classList.toggle('mc-attention-there', i === to);
  });
  lookers.forEach((span, i) => { span.classList.toggle('mc-attention-here', i === at); });
  find('row').style.cssText = `top:${100 * at / rows.length}%;height:${100 / rows.length}%`;
  find('column').style.cssText = to === null ? 'display:none'
    : `left:${100 * to / columns.length}%;width:${100 / columns.length}%`;
  [[find('rows'), at], [find('columns'), to]].forEach(([labels, chosen]) => {
    [...labels.children].forEach((label, i) => { label.classList.toggle('mc-attention-here', i === chosen); });
  });
  const who = `“${sign(rows[at])}” (${at})`;
  find('said').textContent = to !== null ? `${who} → “${sign(columns[to])}” (${to}): ${number(line[to])}`
    : `${who} ${steps.stage === 'softmax' ? 'looks at' : 'fits best'} ${names(line).join(', ')}.`;
};
const table = () => {
  if (!find('fold').open || !values.length) return;
  const ofShares = line => best(line).filter(([share]) => share >= .005)
    .map(([share, i]) => `${sign(columns[i])}\u00a0(${i})\u00a0${percent(share)}`).join(', ');
  element.querySelector('tbody').replaceChildren(...shares.map((line, i) => {
    const head = Object.assign(make('th', '', `${i}`), {scope: 'row'}), cut = make('tr');
    cut.append(head, make('td', '', sign(rows[i])), make('td', '', ofShares(line)));
    return cut;
  }));
};
const redraw = () => {
  if (!rows.length) return;
  compute();
  paint(cells.querySelector('canvas'), values);
  legend();
  find('step').textContent = page.said[steps.stage][+steps.scaled][+steps.masked];
  map.setAttribute('aria-label', `The map of ${page.label}, ${steps.stage}: a row for each character, a column for each `
    + `that it looks at. Up and down choose the row, left and right the column.`);
  mark();
  table();
};

// Where rows are narrow, only every second or third is named.
const name = () => {
  const size = cells.getBoundingClientRect();
  [['rows', rows, size.height], ['columns', columns, size.width]].forEach(([side, characters, length]) => {
    const pitch = length / characters.length, each = Math.max(1, Math.ceil(7.6 / pitch));
    find(side).style.fontSize = `${Math.min(14, pitch * each * 1.12).toFixed(1)}px`;
    [...find(side).children].forEach((label, i) => { label.classList.toggle('mc-attention-left', i % each > 0); });
  });
};
const draw = () => {
  const same = ['rows', 'columns', 'unread'].every(key => page[key] === props.value?.[key]);
  page = props.value ?? {};
  rows = [...page.rows ?? ''];
  columns = [...page.columns ?? ''];
  pointed = null;
  element.firstElementChild.classList.toggle('mc-attention-empty', !rows.length);
  find('refused').hidden = !page.refused;
  find('refused').textContent = page.refused ?? '';
  find('label').textContent = page.label ?? '';
  map.tabIndex = text.tabIndex = rows.length ? 0 : -1;
  if (!same) {
    lookers = rows.map((character, i) => make('span', '', shown(character, i)));
    looked = page.rows === page.columns ? lookers : columns.map((character, i) => make('span', '', shown(character, i)));
    const unread = make('i', 'mc-attention-unread', ...[...page.unread ?? ''].map((character, i) => shown(character, i + 1)));
    unread.title = 'longer ago than the model sees';
    text.replaceChildren(...(page.unread ? [unread] : []), ...lookers);
    source.replaceChildren(...(looked === lookers ? [] : looked));
    find('rows').replaceChildren(...rows.map(character => make('span', '', sign(character))));
    find('columns').replaceChildren(...columns.map(character => make('span', '', sign(character))));
    [row, column] = [Math.floor(rows.length / 2), null];  // in the middle: without a mask it looks both ways
    while (row > 0 && /\s/.test(rows[row])) row -= 1;
    name();
    reveal();
  }
  if (!rows.length) [values, shares, find('said').textContent, find('step').textContent] = [[], [], '', ''];
  redraw();
};

// Bring the chosen character into the box of the text, without a move of the page.
const reveal = () => {
  const box = find('texts'), {offsetTop = 0, offsetHeight = 0} = lookers[row] ?? {};
  if (offsetTop < box.scrollTop || offsetTop + offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = offsetTop - 4;
};
// The pointer shows what is beneath it; a click, or a tap, stays.
const point = (to, stays) => {
  if (!to) return;
  if (stays) [row, column] = to;
  pointed = stays ? null : to;
  if (stays) reveal();
  mark();
};
const inText = ({target}) => lookers.includes(target) ? [lookers.indexOf(target), null]
  : looked.includes(target) ? [row, looked.indexOf(target)] : null;
const inMap = event => {
  const box = cells.getBoundingClientRect();
  const i = Math.floor((event.clientY - box.top) / box.height * rows.length);
  const j = Math.floor((event.clientX - box.left) / box.width * columns.length);
  return i in rows && j in columns ? [i, j] : null;
};
[[find('texts'), inText], [cells, inMap]].forEach(([part, place]) => {
  part.onpointermove = event => { if (event.pointerType === 'mouse') point(place(event), false); };
  part.onclick = event => point(place(event), true);
  part.onpointerleave = () => { pointed = null; mark(); };
});
const within = (to, list) => Math.max(0, Math.min(list.length - 1, to));
onArrows(text, distance => point([within(row + distance, rows), null], true));
map.onkeydown = event => {
  const [down, right] = {ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1]}[event.key] ?? [];
  if (down === undefined || !rows.length) return;
  event.preventDefault();
  event.stopPropagation();
  point([within(row + down, rows), column === null && down ? null : within((column ?? row) + right, columns)], true);
};
find('fold').ontoggle = table;
new ResizeObserver(() => { if (rows.length) name(); }).observe(cells);
document.addEventListener('mc-steps', ({detail}) => { steps = detail; redraw(); });
draw();
watch('value', draw);
