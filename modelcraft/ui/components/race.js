// As in script.js, a text that has only grown is appended to. Many events arrive per second, so the browser lays the
// page out once per event, not once per column: the script measures all, then writes all, then scrolls all.
const sheet = element.querySelector('.mc-race');
const lane = () => {
  const text = () => document.createTextNode('');
  const page = make('div', 'mc-lane-page', make('span', 'mc-lane-said', text()), make('span', 'mc-lane-text', text()),
    make('p', 'mc-lane-note'));
  page.tabIndex = 0;
  page.setAttribute('role', 'region');
  const foot = make('p', 'mc-lane-foot', make('span', 'mc-lane-size'), make('span', 'mc-lane-speed'));
  foot.setAttribute('role', 'status');
  return make('section', 'mc-lane', make('h2', 'mc-lane-name'), make('span', 'mc-lane-loss'),
    make('p', 'mc-lane-adds'), page, foot);
};
const set = (node, text) => {
  node = node.firstChild?.nodeType === Node.TEXT_NODE ? node.firstChild : node;
  const now = node.textContent;
  if (now === text) return;
  if (node.nodeType === Node.TEXT_NODE && text.startsWith(now)) node.appendData(text.slice(now.length));
  else node.textContent = text;
};
// Real words are marked by the browser's own highlights: the text stays one node, which only grows.
const words = (node, real) => {
  const found = [];
  for (let i = 0; i < real.length && real[i + 1] <= node.length; i += 2) {
    const range = new Range();
    range.setStart(node, real[i]);
    range.setEnd(node, real[i + 1]);
    found.push(range);
  }
  return found;
};
const mark = ranges => { if (globalThis.Highlight) CSS.highlights.set('mc-real', new Highlight(...ranges)); };
const focus = handOver('#race-go', '#race-stop');
let raced = false;
const draw = () => {
  const lanes = props.value ?? [];
  while (sheet.children.length > lanes.length) sheet.lastChild.remove();
  while (sheet.children.length < lanes.length) sheet.append(lane());
  const pages = [...sheet.querySelectorAll('.mc-lane-page')];
  const following = pages.filter((page, i) =>
    !lanes[i].text || page.scrollHeight - page.scrollTop - page.clientHeight < 8);
  lanes.forEach((one, i) => {
    const node = sheet.children[i];
    const [name, loss, adds, page, foot] = node.children;
    set(name, one.title);
    set(loss, one.loss);
    node.style.setProperty('--loss', one.share);
    set(adds, one.adds);
    set(page.children[0], one.said);
    set(page.children[1], one.text);
    set(page.children[2], one.note);
    set(foot.children[0], one.words ? `${one.real.length / 2} of ${one.words} words stand in its text` : one.parameters);
    set(foot.children[1], one.speed && !one.writing ? one.speed.toLocaleString('en') : '');
    const label = `What ${one.title} writes`;
    if (page.ariaLabel !== label) page.ariaLabel = label;
    if (page.ariaBusy !== String(one.writing)) page.ariaBusy = String(one.writing);
    node.classList.toggle('mc-writing', one.writing);
    node.classList.toggle('mc-told', Boolean(one.said));
  });
  mark(pages.flatMap((page, i) => words(page.children[1].firstChild, lanes[i].real)));
  for (const page of following) page.scrollTop = page.scrollHeight;
  const racing = lanes.some(one => one.writing);
  if (racing === raced) return;
  raced = racing;
  focus(racing ? '#race-stop' : '#race-go');
};
draw();
watch('value', draw);
