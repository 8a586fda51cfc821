const draw = () => {
  const {plots = [], texts = [], tables = [], said = '', note = ''} = props.value ?? {};
  element.querySelector('.mc-plots-said').textContent = said;
  element.querySelector('.mc-plots-note').textContent = note;
  element.querySelector('.mc-plots-row').replaceChildren(...plots.map(drawnPicture), ...texts.map(writtenPage));
  element.querySelector('.mc-plots-tables').replaceChildren(...tables.map(({caption, head, rows}) => {
    const box = make('div', 'mc-plots-table'), table = make('table'), top = make('tr');
    top.append(...head.map(name => Object.assign(make('th', '', name), {scope: 'col'})));
    table.append(make('caption', '', caption), top, ...rows.map(cells => {
      const row = make('tr');
      row.append(...cells.map((cell, i) => make(i ? 'td' : 'th', '', cell)));
      row.firstChild.scope = 'row';
      return row;
    }));
    box.tabIndex = 0;
    box.setAttribute('role', 'region');
    box.setAttribute('aria-label', caption);
    box.append(table);
    return box;
  }));
};
draw();
watch('value', draw);
