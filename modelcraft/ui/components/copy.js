// Copy puts the `whole_text` of the turns on the clipboard, by head.js.
(script) => {
  let text = '';
  for (const turn of script.turns) {
    if (turn.who === 'you' && text) text += text.endsWith('\n\n') ? '' : text.endsWith('\n') ? '\n' : '\n\n';
    text += turn.text;
  }
  document.dispatchEvent(new CustomEvent('modelcraft-copy', {detail: text}));
}
