// A table with a caption and a note.
const draw = () => {
  const {caption = '', head = [], rows = [], note = ''} = props.value ?? {};
  element.querySelector('caption').textContent = caption;
  element.querySelector('p').textContent = note;
  element.querySelector('thead tr').replaceChildren(...head.map(name => Object.assign(make('th', '', name), {scope: 'col'})));
  element.querySelector('tbody').replaceChildren(...rows.map(cells => {
    const row = make('tr', '', ...cells.map((cell, i) => make(i ? 'td' : 'th', '', cell)));
    row.firstChild.scope = 'row';
    return row;
  }));
};
draw();
watch('value', draw);
