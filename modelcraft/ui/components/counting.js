// One plate of pairs at a time, a row for each first character and a column for each that can follow; a click chooses a row.
const CELL = 10, EDGE = 16;
const PLATES = ['counted', 'learned', 'learned − counted'];
const find = name => element.querySelector(`.mc-pairs-${name}`);
const plate = find('plate'), svg = plate.querySelector('svg');
let letters = [], places = [], counted = [], learned = [], times = [], row = 0, shown = 0, marks = [];

const numbers = encoded => encoded ? new Float32Array(Uint8Array.from(atob(encoded), byte => byte.charCodeAt(0)).buffer) : [];
const place = i => EDGE + CELL * (i + .5);
// Red above zero, blue below, by the square root, so that rare pairs are seen; a difference is five times as strong.
const coloured = () => {
  const size = letters.length, canvas = Object.assign(make('canvas'), {width: size, height: size});
  const context = canvas.getContext('2d'), image = context.createImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    const value = shown === 0 ? counted[i] : shown === 1 ? learned[i] : 5 * (learned[i] - counted[i]);
    image.data.set([...value < 0 ? [58, 120, 170] : [200, 85, 58], 255 * Math.min(1, Math.sqrt(Math.abs(value)))], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
};
const label = (i, along, here) => shape('text', {
  ...along ? {x: place(i), y: EDGE / 2} : {x: EDGE / 2, y: place(i)},
  'font-size': here ? 15 : 10, class: here ? 'mc-pairs-here' : '',
}, letters[i]);
// The row that is chosen, and the column that is pointed at; every other letter beside them makes way.
const mark = column => {
  for (const node of marks) node.remove();
  const size = letters.length;
  const labels = [...letters.keys()].flatMap(i => [
    ...i === row || Math.abs(i - row) > 1 ? [label(i, false, i === row)] : [],
    ...i === column || column === undefined || Math.abs(i - column) > 1 ? [label(i, true, i === column)] : []]);
  marks = [...labels, shape('rect', {x: EDGE, y: EDGE + CELL * row, width: CELL * size, height: CELL, 'stroke-width': 1})];
  svg.append(...marks);
};
const pair = (i, j) => {
  const at = i * letters.length + j;
  find('pair').textContent = `“${letters[i]}” then “${letters[j]}”: ${times[at].toLocaleString('en')} times, `
    + `${percent(counted[at])} of all after “${letters[i]}”` + (learned.length ? `; learned ${percent(learned[at])}` : '');
};
const plateShown = () => {
  const size = letters.length, side = EDGE + CELL * size + 2;
  svg.setAttribute('viewBox', `0 0 ${side} ${side}`);
  svg.replaceChildren(shape('image', {href: coloured(), x: EDGE, y: EDGE, width: CELL * size, height: CELL * size}));
  marks = [];
  mark();
};
const show = number => {
  shown = number;
  for (const [i, button] of [...find('switch').children].entries()) button.setAttribute('aria-pressed', String(i === number));
  plateShown();
};
const at = event => {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const cell = place => Math.floor((place - EDGE) / CELL);
  const [i, j] = [cell(point.y), cell(point.x)], size = letters.length;
  return i >= 0 && i < size && j < size ? [i, Math.max(0, j)] : null;
};
const choose = wanted => {
  row = Math.max(0, Math.min(letters.length - 1, wanted));
  mark();
  props.value = {chosen: places[row]};
  trigger('input');
};
const draw = () => {
  const page = props.value ?? {};
  if (!page.letters) return;
  ({letters, row, at: places} = page);
  [counted, learned, times] = [page.counted, page.learned, page.times].map(numbers);
  plate.tabIndex = 0;
  find('switch').hidden = !learned.length;  // nothing but counting
  show(learned.length ? shown : 0);
  pair(row, page.likeliest);
};
find('switch').replaceChildren(...PLATES.map((name, i) => {
  const button = Object.assign(make('button', '', name), {type: 'button'});
  button.onclick = () => show(i);
  return button;
}));
svg.onpointermove = event => {
  const cell = at(event);
  if (!cell) return;
  mark(cell[1]);
  pair(...cell);
};
svg.onclick = event => { if (at(event)) choose(at(event)[0]); };
onArrows(plate, distance => choose(row + Math.sign(distance) * (Math.abs(distance) > 1e5 ? 1e5 : 1)));
draw();
watch('value', draw);
