// One character's way through a rung: a row for each layer, with the numbers that stand there and the guesses they allow.
const find = name => element.querySelector(`.mc-way-${name}`);
const text = find('text');
let letters = [], read = '', chosen = 0;
let wanted = null;  // the character that was asked for last, until it is shown

// Blue below zero, red above, as strong as the number is large.
const strip = bytes => {
  const numbers = [...atob(bytes)].map(byte => (byte.charCodeAt(0) - 128) / 127);
  const canvas = Object.assign(make('canvas'), {width: numbers.length, height: 1}), context = canvas.getContext('2d');
  const image = context.createImageData(numbers.length, 1);
  numbers.forEach((number, i) => {
    image.data.set([...number < 0 ? [58, 120, 170] : [200, 85, 58], 255 * Math.abs(number)], 4 * i);
  });
  context.putImageData(image, 0, 0);
  return canvas;
};
const guess = ([letter, share], best) => {
  const node = make('span', letter === best ? 'mc-way-guess mc-way-best' : 'mc-way-guess', make('b', '', sign(letter)), percent(share));
  node.style.setProperty('--share', share);
  return node;
};
const row = (step, best) => {
  const cut = make('tr'), head = make('th', '', step.name);
  head.scope = 'row';
  cut.append(head, make('td', 'mc-way-shape', step.shape), make('td', 'mc-way-vector', strip(step.strip)),
    make('td', 'mc-way-does', step.does), make('td', '', make('div', 'mc-way-guesses', ...step.guesses.map(one => guess(one, best)))));
  return cut;
};
const mark = () => letters.forEach((letter, i) => {
  letter.classList.toggle('mc-way-here', i === chosen);
  letter.classList.toggle('mc-way-later', i > chosen);
});
const said = page => {
  const [character, next] = [...page.text].slice(chosen);
  const before = page.seen === 1 ? 'the character before it' : page.seen ? `the ${page.seen} characters before it` : 'nothing before it';
  const source = page.source ? `, and of the source “${page.source.replace('\n', '⏎')}”` : '';
  return `“${sign(character)}” may know of ${before}${source}. `
    + (next ? `What came next is “${sign(next)}”.` : 'What comes next is drawn from the last row.');
};
const ask = () => {
  props.value = {chosen: wanted};
  trigger('input');
};
const draw = () => {
  const page = props.value ?? {};
  if (!page.steps && !page.refused) return;
  // An answer to an earlier key press has put its number in the place of the one that is wanted: ask once more.
  if (wanted !== null && page.text === read && page.chosen !== wanted) return ask();
  element.firstElementChild.classList.toggle('mc-way-empty', !page.steps);
  find('refused').hidden = !page.refused;
  find('refused').textContent = page.refused ?? '';
  read = page.text ?? '';
  letters = [...read].map((character, i) => make('span', '',
    character === '\n' ? (i ? '⏎\n' : '⏎') : character === ' ' ? ' ' : sign(character)));
  text.replaceChildren(...letters);
  text.tabIndex = letters.length ? 0 : -1;
  chosen = page.chosen ?? 0;
  wanted = null;
  mark();
  find('said').textContent = page.steps ? said(page) : '';
  const best = page.steps?.at(-1).guesses[0][0];
  element.querySelector('tbody').replaceChildren(...(page.steps ?? []).map(step => row(step, best)));
};
const choose = at => {
  if (!letters.length) return;
  chosen = wanted = Math.max(0, Math.min(letters.length - 1, at));
  mark();
  const {offsetTop, offsetHeight} = letters[chosen], box = find('texts');
  if (offsetTop < box.scrollTop || offsetTop + offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = offsetTop - 4;
  ask();
};
text.onclick = ({target}) => { if (letters.includes(target)) choose(letters.indexOf(target)); };
onArrows(text, distance => choose((wanted ?? chosen) + distance));
draw();
watch('value', draw);
