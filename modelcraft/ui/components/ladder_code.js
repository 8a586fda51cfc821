const find = selector => element.querySelector(selector);
const draw = () => {
  const page = props.value ?? {};
  if (!page.file) return;
  find('.mc-ladder-about').textContent = `What is the lesson in ${page.file}, without imports and checks`
    + (!page.below ? '.' : page.same ? `; the code is that of ${page.below}, at other sizes.`
      : `; marked: what is new against ${page.below}.`);
  find('.mc-ladder-settings').replaceChildren('Its sizes: ', ...page.settings.flatMap(([name, value, isNew]) =>
    [make(isNew ? 'mark' : 'span', '', `${name} = ${value}`), ' ']));
  find('.mc-ladder-code').firstChild.replaceChildren(...page.code.map(([spans, isNew]) => make(isNew ? 'mark' : 'span', '',
    ...spans.map(([kind, text]) => kind ? make('span', `mc-code-${kind}`, text) : text), '\n')));
  find('.mc-ladder-code').scrollTop = 0;
};
draw();
watch('value', draw);
