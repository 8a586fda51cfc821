// Four dials, each a slider and a number; what stands beside them is redrawn while they are turned.
const DIALS = [
  ['temperature', 'Temperature', 2, .05, '0: always the likeliest; 1: the model’s odds'],
  ['top_k', 'Top-k', 65, 1, 'only the k likeliest; 0: all'],
  ['top_p', 'Top-p', 1, .01, 'the fewest that hold this share; 1: all'],
  ['min_p', 'Min-p', 1, .01, 'at least this share of the likeliest; 0: all'],
];
const neutral = {temperature: 1, top_k: 0, top_p: 1, min_p: 0};
let dials = {...neutral, ...props.value};
const reset = Object.assign(make('button', 'mc-dials-reset', 'Reset'), {type: 'button'});
reset.setAttribute('aria-label', 'Reset the dials');
const show = () => {
  for (const {id, range, number, output} of parts) {
    range.value = output.textContent = dials[id];
    if (number !== document.activeElement) number.value = dials[id];
    range.style.setProperty('--at', `${100 * dials[id] / range.max}%`);
  }
  reset.disabled = Object.keys(neutral).every(id => dials[id] === neutral[id]);
};
const turn = change => {
  dials = {...dials, ...change};
  show();
  props.value = dials;
  trigger('input');
};
const parts = DIALS.map(([id, name, max, step, hint]) => {
  const range = Object.assign(make('input'), {type: 'range', min: 0, max, step});
  const output = make('output');  // on a phone, in place of the number
  const number = Object.assign(make('input'), {type: 'number', min: 0, max, step, inputMode: 'decimal'});
  range.setAttribute('aria-label', name);
  number.setAttribute('aria-label', `${name}, as a number`);
  range.oninput = () => turn({[id]: Number(range.value)});
  number.oninput = () => {
    const value = Number(number.value);
    if (number.value && number.checkValidity()) turn({[id]: value});
  };
  number.onchange = () => {  // what is out of range becomes the nearest that is not
    const value = Math.min(max, Math.max(0, Number(number.value) || 0)), whole = step === 1 ? Math.round(value) : value;
    if (whole !== dials[id]) turn({[id]: whole});
    number.value = dials[id];
  };
  const dial = make('div', 'mc-dial', make('span', 'mc-dial-name', ...explained(name)), number, output, range, make('small', '', hint));
  dial.id = `next-${id}`;
  return {id, range, number, output, dial};
});
reset.onclick = () => {
  turn(neutral);
  parts[0].range.focus({preventScroll: true});
};
element.querySelector('.mc-dials').append(...parts.map(part => part.dial), reset);
show();
watch('value', () => {
  dials = {...neutral, ...props.value};
  show();
});
