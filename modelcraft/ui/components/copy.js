// Copy puts the `whole_text` of the turns on the clipboard; a page without https has no clipboard to write to.
async (script) => {
  let text = '';
  for (const turn of script.turns) {
    if (turn.who === 'you' && text) text += text.endsWith('\n\n') ? '' : text.endsWith('\n') ? '\n' : '\n\n';
    text += turn.text;
  }
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
  } else {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}
