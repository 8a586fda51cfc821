// All heads as small pictures to choose from, and the four steps. A head is asked of the server; a step is the page's.
const find = selector => element.querySelector(selector);
const all = find('.mc-heads-all'), stages = [...element.querySelectorAll('[type=radio]')];
const [scaled, masked] = ['#attention-scaled', '#attention-masked'].map(find);
let heads = [], buttons = [], chosen = '';
let head = '';  // the one that was asked for, by a click or by the address; `chosen` may be the rung's first

const paint = ({size: [height, width], pixels}) => {
  const canvas = Object.assign(make('canvas'), {width, height}), context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  [...atob(pixels)].forEach((byte, i) => { image.data.set([200, 85, 58, byte.charCodeAt(0)], 4 * i); });
  context.putImageData(image, 0, 0);
  return canvas;
};
// At an end beyond which there are more heads they fade.
const more = () => {
  const beyond = all.scrollWidth - all.clientWidth - all.scrollLeft;
  all.style.setProperty('--before', all.scrollLeft > 2 ? '2.5rem' : '0px');
  all.style.setProperty('--after', beyond > 2 ? '2.5rem' : '0px');
};
const mark = () => {
  const at = heads.findIndex(one => one.name === chosen), shown = heads[at];
  buttons.forEach((button, i) => {
    button.setAttribute('aria-checked', i === at);
    button.tabIndex = i === at ? 0 : -1;
  });
  find('.mc-heads-chosen').textContent = shown ? `${shown.label}; ${heads.length} in all` : 'none';
  find('.mc-step-scale').textContent = shown ? `× 1/√head size = ${shown.scale}` : '× 1/√head size';
  masked.disabled = Boolean(shown) && !shown.hides;
  find('.mc-step-mask').textContent = masked.disabled ? 'nothing comes later' : 'what comes later';
  if (shown) all.scrollLeft = buttons[at].offsetLeft - all.clientWidth / 2;  // on a phone they are one row
  more();
};
const choose = at => {
  if (!(at in heads) || heads[at].name === chosen) return;
  chosen = head = heads[at].name;
  mark();
  props.value = kept();
  trigger('input');
};
// What the server and the address are told; the pictures need not go back.
const kept = () => ({
  chosen, head, stage: stages.find(one => one.checked).value, scaled: scaled.checked ? 'on' : 'off',
  masked: masked.checked ? 'on' : 'off',
});
const tell = () => {
  [scaled, masked].forEach(one => { one.nextElementSibling.textContent = one.checked ? 'on' : 'off'; });
  const {stage} = kept(), detail = {stage, scaled: scaled.checked, masked: masked.checked};
  document.dispatchEvent(new CustomEvent('mc-steps', {detail}));
};
const restore = asked => {
  head = asked.head ?? head;
  for (const one of stages) one.checked = one.value === (asked.stage ?? 'softmax');
  scaled.checked = asked.scaled !== 'off';
  masked.checked = asked.masked !== 'off';
  tell();
};
const draw = () => {
  if (props.value && !props.value.heads) {
    if (!heads.length) restore(props.value);  // else they are what is kept here
    return;
  }
  ({heads = [], chosen = ''} = props.value ?? {});
  if (heads.length && !heads.some(one => one.name === head)) head = '';  // another rung, which has no such head
  if (props.value) props.value = kept();
  tell();  // the picture may be newer than the last time
  buttons = heads.map((head, i) => {
    const button = Object.assign(make('button', 'mc-head', paint(head)), {type: 'button', title: head.label});
    button.setAttribute('role', 'radio');
    button.setAttribute('aria-label', head.label);
    button.onclick = () => choose(i);
    return button;
  });
  const kinds = [...new Set(heads.map(head => head.kind))];
  all.replaceChildren(...kinds.map(kind => {
    const group = make('div', 'mc-heads-kind'), row = make('div', 'mc-heads-layers');
    const layers = [...new Set(heads.filter(head => head.kind === kind).map(head => head.layer))];
    row.append(...layers.map(layer => make('div', 'mc-heads-layer', make('span', 'mc-heads-number', kinds.length > 1 ? `${layer + 1}` : `layer ${layer + 1}`),
      ...buttons.filter((_, i) => heads[i].kind === kind && heads[i].layer === layer))));
    group.style.setProperty('--layers', layers.length);
    if (kinds.length > 1) group.append(make('span', 'mc-heads-name', kind));
    group.append(row);
    return group;
  }));
  mark();
};
// Down and up to the heads of a layer, right and left to the layers.
all.onkeydown = event => {
  const at = heads.findIndex(head => head.name === chosen), {kind, layer} = heads[at] ?? {};
  const inLayer = heads.filter(head => head.kind === kind && head.layer === layer).length;
  const step = {ArrowDown: 1, ArrowUp: -1, ArrowRight: inLayer, ArrowLeft: -inLayer}[event.key];
  if (step === undefined || at < 0) return;
  event.preventDefault();
  event.stopPropagation();
  choose(at + step);
  buttons.find(button => button.tabIndex === 0)?.focus({preventScroll: true});
};
// A switch is of no effect on the steps before it: the picture goes to its step.
const step = least => {
  if (least && stages.findIndex(one => one.checked) < least) stages[least].checked = true;
  tell();
  props.value = kept();
  trigger('change');
};
all.onscroll = more;
new ResizeObserver(more).observe(all);
stages.forEach(one => { one.onchange = () => step(0); });
scaled.onchange = () => step(1);
masked.onchange = () => step(2);
draw();
watch('value', draw);
