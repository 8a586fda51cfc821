// Words that a reader may not know: `explained(text)` returns nodes in which the first of each is a button that shows
// what it means, on hovering, on focus and on a tap; Escape hides it. A word that `known` has is left alone.
const definitions = DEFINITIONS;
const shown = new RegExp(`(?<![\\w√-])(${Object.keys(definitions).join('|')})(?:s|es)?(?![\\w-])`, 'gi');
const explain = (text, definition) => {
  const note = make('span', 'mc-word-note', definition), button = make('button', '', text);
  note.role = 'tooltip';
  note.popover = 'manual';  // above everything, and cut off by nothing
  note.id = `word-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  button.type = 'button';
  button.setAttribute('aria-describedby', note.id);
  const word = make('span', 'mc-word', button, note);
  const place = () => {  // below the word, or above it where there is no room
    const at = button.getBoundingClientRect(), {width, height} = note.getBoundingClientRect();
    const below = at.bottom + height < innerHeight || at.top < height;
    note.style.left = `${Math.max(8, Math.min(at.left, document.documentElement.clientWidth - width - 8))}px`;
    note.style.top = `${below ? at.bottom : at.top - height}px`;
  };
  const show = () => {
    if (note.matches(':popover-open')) return;
    note.showPopover();
    place();
    addEventListener('scroll', place, {capture: true, passive: true});
  };
  const hide = () => {
    removeEventListener('scroll', place, {capture: true});
    if (note.matches(':popover-open')) note.hidePopover();
  };
  word.onpointerenter = button.onfocus = show;
  word.onpointerleave = () => { if (document.activeElement !== button) hide(); };
  button.onblur = hide;
  button.onclick = () => { button.focus(); show(); };  // not every browser gives the focus to what is tapped
  word.onkeydown = event => { if (event.key === 'Escape') hide(); };
  return word;
};
const explained = (text, known = new Set()) => {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(shown)) {
    const word = found[1].toLowerCase();
    if (known.has(word)) continue;
    known.add(word);
    nodes.push(text.slice(end, found.index), explain(found[0], definitions[word]));
    end = found.index + found[0].length;
  }
  return [...nodes, text.slice(end)];
};
