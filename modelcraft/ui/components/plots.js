const draw = () => {
  const {plots = [], texts = [], tables = [], said = '', note = ''} = props.value ?? {};
  element.querySelector('.mc-plots-said').textContent = said;
  element.querySelector('.mc-plots-note').textContent = note;
  const pictures = plots.map(({title, svg, alt}) => {
    const figure = make('figure', 'mc-plot'), parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
    const picture = document.importNode(parsed.documentElement, true);
    picture.removeAttribute('width');
    picture.removeAttribute('height');
    picture.setAttribute('role', 'img');
    picture.setAttribute('aria-label', alt);
    figure.append(make('figcaption', '', title), picture);
    return figure;
  });
  const pages = texts.map(({title, text}) => {
    const figure = make('figure', 'mc-plot'), words = make('pre', 'mc-plot-text', text);
    words.tabIndex = 0;
    words.setAttribute('aria-label', title);
    words.setAttribute('role', 'region');
    figure.append(make('figcaption', '', title), words);
    return figure;
  });
  element.querySelector('.mc-plots-row').replaceChildren(...pictures, ...pages);
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
