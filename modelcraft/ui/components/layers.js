// What each layer does, a sentence each.
const known = new Set();
element.querySelector('dl').replaceChildren(...(props.value ?? []).flatMap(([name, does]) =>
  [make('dt', '', ...explained(name, known)), make('dd', '', ...explained(does, known))]));
