const find = selector => element.querySelector(selector);
const field = find('input'), ends = handOver('#ladder-previous', '#ladder-next');
const guesses = new Map();  // by rung, for as long as the page is open
const bars = (table, rows) => table.replaceChildren(...rows.map(row => {
  const line = make('tr', row.chosen ? 'mc-ladder-here' : row.loss ? '' : 'mc-ladder-later');
  const bar = make('span'), head = make('th', '', row.name);
  bar.style.width = `${100 * row.share}%`;
  head.scope = 'row';
  if (row.chosen) line.ariaCurrent = 'true';
  line.append(head, make('td', '', row.loss), make('td', 'mc-ladder-bar', bar));
  if (row.range) line.append(make('td', 'mc-ladder-range', row.range));
  return line;
}));
const prose = (text, known) =>  // text between backticks is code
  text.split('`').flatMap((part, i) => i % 2 ? make('code', '', part) : explained(part, known));
const answer = () => {
  const page = props.value, guess = guesses.get(page.name), here = find('.mc-ladder-answer');
  field.value = guess ?? '';
  if (!guess) return here.replaceChildren(make('p', 'mc-ladder-note', 'The answer, with its reason, comes after your guess.'));
  const table = make('table', 'mc-ladder-bars');
  bars(table, page.ablations);
  here.replaceChildren(make('p', '', 'You: ', make('em', '', guess)), make('p', 'mc-ladder-reason', ...prose(page.answer)));
  if (page.ablations.length) here.append(table, make('p', 'mc-ladder-note', page.budget));
};
const draw = () => {
  const page = props.value ?? {};
  if (!page.name) return;
  const known = new Set();
  find('.mc-ladder-place').textContent = page.place;
  find('h2').textContent = page.name;
  find('.mc-ladder-adds').replaceChildren(...explained(page.adds, known));
  find('.mc-ladder-loss').replaceChildren(...(page.loss
    ? [make('b', '', page.loss), ...explained(' nats per character: the loss', known)] : [page.unmeasured]));
  find('.mc-ladder-unsure').replaceChildren(...explained(page.unsure, known));
  find('.mc-ladder-figures').replaceChildren(...explained(page.figures, known));
  find('.mc-ladder-lesson').replaceChildren(...page.lesson.map(([text, asItStands]) => asItStands
    ? make('div', 'mc-ladder-formula', ...text.split('\n').map(line => make('span', '', line || ' ')))
    : make('p', '', ...prose(text, known))));
  find('.mc-ladder-question').replaceChildren(...prose(page.question, known));
  find('.mc-ladder-ask').hidden = !page.question;
  bars(find('.mc-ladder-bars'), page.ladder);
  find('.mc-ladder-apart').textContent = page.apart;
  answer();
  setTimeout(() => ends(document.querySelector('#ladder-next')?.disabled ? '#ladder-previous' : '#ladder-next'), 50);
};
find('form').onsubmit = event => {
  event.preventDefault();
  const guess = field.value.trim();
  if (!guess) return field.focus();
  guesses.set(props.value.name, guess);
  answer();
};
draw();
watch('value', draw);
