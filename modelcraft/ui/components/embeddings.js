// Where a rung puts its characters: hover, tap or arrow keys choose one, and lines lead to its nearest.
const HEIGHT = 520, EDGE = 24;
const find = name => element.querySelector(`.mc-emb-${name}`);
const svg = element.querySelector('svg'), map = find('map');
let width = 720, labels = [], ties = [], near = [], characters = [], chosen = 0;

// The same scale in both directions, so that what looks near is near.
const laidOut = () => {
  const xs = characters.map(one => one.x), ys = characters.map(one => one.y);
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((width - 2 * EDGE) / (right - left || 1), (HEIGHT - 2 * EDGE) / (high - low || 1));
  return characters.map(({x, y}) => ({x: width / 2 + scale * (x - (left + right) / 2), y: HEIGHT / 2 - scale * (y - (low + high) / 2)}));
};
// Push labels that lie on each other apart, each a little at a time (too many have no room anyway).
const apart = (places, size) => {
  if (places.length > 300) return places;
  const moved = places.map(place => ({...place}));
  for (let round = 0; round < 80; round++) {
    let still = true;
    for (const [i, one] of moved.entries()) for (const [j, other] of moved.slice(0, i).entries()) {
      const x = one.x - other.x || .01 * (i - j), y = one.y - other.y || .01;
      const wide = size * (characters[i].sign.length + characters[j].sign.length) / 3, high = size;
      if (Math.abs(x) >= wide || Math.abs(y) >= high) continue;
      still = false;
      const sideways = wide - Math.abs(x) < high - Math.abs(y);
      const push = (sideways ? Math.sign(x) * (wide - Math.abs(x)) : Math.sign(y) * (high - Math.abs(y))) / 4;
      one[sideways ? 'x' : 'y'] += push;
      other[sideways ? 'x' : 'y'] -= push;
    }
    for (const one of moved) {
      one.x = Math.max(EDGE / 2, Math.min(width - EDGE / 2, one.x));
      one.y = Math.max(EDGE / 2, Math.min(HEIGHT - EDGE / 2, one.y));
    }
    if (still) break;
  }
  return moved;
};
const choose = at => {
  if (!labels.length) return;
  chosen = Math.max(0, Math.min(labels.length - 1, at));
  const by = (near[chosen] ?? []).map(([other]) => other);
  labels.forEach((label, i) => {
    label.classList.toggle('mc-emb-here', i === chosen);
    label.classList.toggle('mc-emb-by', by.includes(i));
  });
  for (const tie of ties) tie.remove();
  const from = labels[chosen];
  ties = by.map(other => shape('line', {class: 'mc-emb-tie', x1: from.getAttribute('x'), y1: from.getAttribute('y'),
    x2: labels[other].getAttribute('x'), y2: labels[other].getAttribute('y')}));
  svg.prepend(...ties);
  find('near').textContent = `“${characters[chosen].sign}”: nearest are `
    + near[chosen].map(([other, cosine]) => `${characters[other].sign}\u00a0${cosine.toFixed(2).replace('-', '−')}`).join(', ');
};
const draw = () => {
  const page = props.value ?? {};
  element.firstElementChild.classList.toggle('mc-emb-empty', !page.characters);
  find('said').textContent = page.said ?? '';
  find('note').textContent = page.note ?? '';
  ({characters = [], near = []} = page);
  const narrow = matchMedia('(max-width: 640px)').matches, size = narrow ? 22 : 17;
  width = narrow ? 520 : 720;
  svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
  const places = laidOut(), at = apart(places, size);
  labels = characters.map(({sign, kind}, i) => shape('text', {class: `mc-emb-${kind}`, x: at[i].x.toFixed(1), y: at[i].y.toFixed(1)}, sign));
  const moved = at.flatMap(({x, y}, i) => Math.hypot(x - places[i].x, y - places[i].y) < size ? []
    : [shape('line', {x1: x, y1: y, x2: places[i].x, y2: places[i].y})]);
  ties = [];
  svg.replaceChildren(...moved, ...labels);
  find('near').textContent = '';
  map.tabIndex = characters.length ? 0 : -1;
  if (near.length) choose(page.chosen ?? 0);
};
svg.onpointerover = svg.onclick = ({target}) => { if (labels.includes(target)) choose(labels.indexOf(target)); };
onArrows(map, distance => choose(chosen + distance));
draw();
watch('value', draw);
