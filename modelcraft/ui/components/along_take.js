// A tab opens: ask along.js what comes along.
(...inputs) => {
  const detail = {tab: TAB, text: inputs[TEXT], rung: inputs[RUNG]};
  document.dispatchEvent(new CustomEvent('modelcraft-along', {detail}));
  return [...inputs.slice(0, -1), detail.along ?? null];
}
