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

// What can look at a line stands beside the one that is pointed at, tapped, or reached by keyboard: one set of buttons for
// all lines, over the sheet, so that nothing moves.
const tools = element.querySelector('.mc-line-tools'), spoken = tools.querySelector('[role=status]');
let line = -1;  // beside which the tools stand
const hide = () => {
  line = -1;
  tools.style.visibility = 'hidden';
};
const inside = node => page.contains(node) || tools.contains(node);
const place = () => {
  const node = page.children[line];
  if (!node) return hide();
  const sheet = page.getBoundingClientRect(), who = node.firstChild.getBoundingClientRect(), whole = node.getBoundingClientRect();
  if (whole.bottom < sheet.top + 8 || whole.top > sheet.bottom - 8) {
    if (!inside(document.activeElement)) return hide();
    const seen = [...page.children].findIndex(one => one.getBoundingClientRect().bottom > sheet.top + 8);
    return seen === line ? hide() : show(seen);
  }
  const height = tools.offsetHeight, middle = who.top + (who.height - height) / 2;
  const top = Math.max(sheet.top + 2, Math.min(middle, sheet.bottom - height - 2));
  tools.style.top = `${top - tools.offsetParent.getBoundingClientRect().top}px`;
};
const show = at => {
  if (at === line || !page.children[at]?.children[1].textContent.trim()) return;
  line = at;
  const who = page.children[at].firstChild.textContent;
  tools.setAttribute('aria-label', `Look at line ${at + 1}, by ${who}, in`);
  tools.style.visibility = '';
  place();
};
const numberOf = node => [...page.children].indexOf(node.closest('.mc-turn'));
element.onpointerover = ({target, pointerType}) => {
  if (pointerType === 'mouse' && target.closest('.mc-turn')) show(numberOf(target));
};
element.onpointerleave = ({pointerType}) => {
  if (pointerType === 'mouse' && !tools.contains(document.activeElement)) hide();
};
page.onclick = ({target}) => { if (target.closest('.mc-turn')) show(numberOf(target)); };
page.onfocus = () => { if (page.matches(':focus-visible') && line < 0) show(page.children.length - 1); };
page.onscroll = () => { if (line >= 0) place(); };
element.addEventListener('focusout', ({relatedTarget}) => { if (relatedTarget && !inside(relatedTarget)) hide(); });
document.addEventListener('pointerdown', ({target}) => { if (line >= 0 && !inside(target)) hide(); });
tools.onkeydown = event => {
  if (event.key === 'Escape') page.focus({preventScroll: true});
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key], node = page.children[line + step];
  if (!node) return;
  event.preventDefault();
  page.scrollTop += node.getBoundingClientRect().top - page.getBoundingClientRect().top - 24;
  show(line + step);
  spoken.textContent = `Line ${line + 1} of ${page.children.length}, ${node.firstChild.textContent}: ${node.children[1].textContent.slice(0, 60)}`;
};
tools.onclick = ({target}) => {
  const {tab} = target.closest('button')?.dataset ?? {}, turn = props.value?.turns[line];
  if (!tab || !turn) return;
  document.dispatchEvent(new CustomEvent('modelcraft-take', {detail: {tab, text: turn.text, rung: turn.rung}}));
  hide();
};

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
  if (line >= 0) place();
  if (writing !== wrote) focus(writing ? '#stop' : '#go');
  wrote = writing;
  // The buttons of a script go when it is taken back, and a hint is about the line that is missing.
  if (!turns.length && (note || document.activeElement?.closest('#tools'))) field();
};
draw();
watch('value', () => { draw(); keep(); });  // not at first: the empty page would replace what is stored
