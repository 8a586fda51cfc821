// Each turn keeps its node, and a text that has only grown is appended to: nothing flickers, a selection stays. The tab
// stores the script where the browser allows it, because Gradio reloads the page when it loses its connection.
const page = element.querySelector('.mc-script'), said = element.querySelector('.mc-script-note');
const focus = handOver('#go', '#stop', '#continue', '#openings button');
const field = () => document.querySelector('#message textarea')?.focus({preventScroll: true});
let kept = 0, wrote = false;
const keep = () => {
  const {turns, writing} = props.value ?? {};
  if (!turns || (writing && Date.now() - kept < 1000)) return;
  kept = Date.now();
  try { sessionStorage.setItem('modelcraft-script', JSON.stringify({turns, writing})); } catch {}
};
addEventListener('pagehide', () => { kept = 0; keep(); });
const draw = () => {
  const {turns, writing, note = ''} = props.value ?? {turns: [], writing: false};
  said.textContent = note;
  const follow = page.scrollHeight - page.scrollTop - page.clientHeight < 8;
  const grown = page.children.length < turns.length;
  while (page.children.length > turns.length) page.lastChild.remove();
  turns.forEach((turn, i) => {
    let node = page.children[i];
    if (!node) {
      node = make('div', 'mc-turn');
      node.append(make('span', 'mc-who'), make('div', 'mc-text'));
      node.lastChild.append(document.createTextNode(''));
      page.append(node);
    }
    const who = node.firstChild, text = node.lastChild.firstChild;
    if (who.textContent !== turn.who) who.textContent = turn.who;
    node.dataset.who = turn.who === 'you' ? 'you' : 'model';
    if (text.data !== turn.text) {
      if (turn.text.startsWith(text.data)) text.appendData(turn.text.slice(text.data.length));
      else text.data = turn.text;
    }
    node.classList.toggle('mc-writing', writing && i === turns.length - 1);
  });
  page.setAttribute('aria-busy', writing);
  if (follow || grown) page.scrollTop = page.scrollHeight;
  if (writing !== wrote) focus(writing ? '#stop' : '#go');
  wrote = writing;
  // The buttons of a script go when it is taken back, and a hint is about the line that is missing.
  if (!turns.length && (note || document.activeElement?.closest('#tools'))) field();
};
draw();
watch('value', () => { draw(); keep(); });  // not at first: the empty page would replace what is stored
