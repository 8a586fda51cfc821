// What arrives late for a rung that has been left is not shown. As in script.js, a text that has only grown is appended to.
const page = element.querySelector('.mc-ladder-sample'), note = element.querySelector('.mc-ladder-note');
const [said, text] = [...page.children].map(node => node.appendChild(document.createTextNode('')));
const focus = handOver('#ladder-write', '#ladder-stop');
let wrote = false, noted = '';
const draw = () => {
  const one = props.value ?? {};
  const here = document.querySelector('#ladder-rung input:checked')?.value;
  if (!one.name || (here && here !== one.name)) return;
  const follow = page.scrollHeight - page.scrollTop - page.clientHeight < 8;
  if (said.data !== one.said) said.data = one.said;
  if (one.text.startsWith(text.data)) text.appendData(one.text.slice(text.data.length));
  else text.data = one.text;
  if (noted !== one.note) note.replaceChildren(...explained(one.note));
  noted = one.note;
  page.ariaBusy = String(one.writing);
  page.scrollTop = one.writing ? (follow ? page.scrollHeight : page.scrollTop) : wrote ? page.scrollTop : 0;
  if (one.writing !== wrote) focus(one.writing ? '#ladder-stop' : '#ladder-write');
  wrote = one.writing;
};
draw();
watch('value', draw);
