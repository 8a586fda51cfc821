// A training: what became of it or how far it is, its losses over the steps, and what the model writes so far.
const find = selector => element.querySelector(selector);
const focus = handOver('#train-go', '#train-pause', '#train-resume', '#train-stop', '#train-play', '#train-on');
const NEXT = {training: '#train-pause', waiting: '#train-pause', paused: '#train-resume', done: '#train-play', failed: '#train-go'};
let state = '';
const draw = () => {
  const {heading = '', now = '', share = 0, plots = [], texts = [], note = '', status = ''} = props.value ?? {};
  find('h2').textContent = heading;
  find('.mc-training-now').textContent = now;
  find('i').style.width = `${100 * share}%`;
  find('.mc-training-seen').replaceChildren(...plots.map(drawnPicture), ...texts.map(writtenPage));
  find('.mc-training-note').textContent = note;
  if (status !== state && NEXT[status]) focus(NEXT[status]);  // the button that was pressed has made room for this one
  state = status;
};
draw();
watch('value', draw);
