const find = selector => element.querySelector(selector);
const bars = (table, rows, marked) => table.replaceChildren(...rows.map(row => {
  const line = make('tr', row.chosen ? marked : '');
  const cell = make('td', 'mc-ladder-bar'), bar = make('span');
  bar.style.width = `${100 * row.share}%`;
  cell.append(bar);
  const head = make('th', '', row.name);
  head.scope = 'row';
  line.append(head, make('td', '', row.loss), cell);
  if (row.range) line.append(make('td', 'mc-ladder-range', row.range));
  return line;
}));
const draw = () => {
  const page = props.value ?? {};
  if (!page.name) return;
  find('h2').textContent = page.name;
  find('.mc-ladder-adds').textContent = page.adds;
  find('.mc-ladder-figures').textContent = page.figures;
  find('.mc-ladder-lesson').replaceChildren(...page.lesson.map(([text, asItStands]) => {
    if (asItStands) return Object.assign(make('pre', '', text), {tabIndex: 0, role: 'region', ariaLabel: 'A formula'});
    const paragraph = make('p');  // text between backticks is code
    paragraph.append(...text.split('`').map((part, i) => i % 2 ? make('code', '', part) : part));
    return paragraph;
  }));
  find('.mc-ladder-sample').textContent = page.sample || 'Its card shows no sample.';
  find('.mc-ladder-about').textContent = !page.below ? `The code, in ${page.file}`
    : page.same ? `The code, in ${page.file}: that of ${page.below}, at other sizes`
    : `The code, in ${page.file}; marked: what is new against ${page.below}`;
  find('.mc-ladder-settings').replaceChildren(...page.settings.flatMap(([name, value, isNew]) =>
    [make(isNew ? 'mark' : 'span', '', `${name} = ${value}`), ' ']));
  find('.mc-ladder-code').firstChild.replaceChildren(...page.code.map(([text, isNew]) =>
    make(isNew ? 'mark' : 'span', '', `${text}\n`)));
  find('.mc-ladder-code').scrollTop = 0;
  const [all, parts] = element.querySelectorAll('.mc-ladder-bars');
  bars(all, page.ladder, 'mc-ladder-here');
  bars(parts, page.ablations, 'mc-ladder-less');
  parts.parentElement.hidden = !page.ablations.length;
};
draw();
watch('value', draw);
