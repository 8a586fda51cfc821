// The page's own buttons; and whoever has a text for the clipboard sends it here as an event.
const toClipboard = async text => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // without https there is no clipboard, and another site's frame may have none
    const area = make('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
};
document.addEventListener('modelcraft-copy', ({detail}) => toClipboard(detail));

const link = element.querySelector('[name=link]'), told = link.querySelector('[role=status]');
let over = 0;
link.onclick = async () => {
  document.dispatchEvent(new Event('modelcraft-address'));  // the address may wait for the fields to be at rest
  const address = new URL(location.href);
  address.searchParams.delete('__sign');  // a private Space's secret, which the Hub puts there
  await toClipboard(address.href);
  link.focus();
  told.textContent = 'Copied';
  clearTimeout(over);
  over = setTimeout(() => { told.textContent = ''; }, 2000);
};

// Large type and no title, for a projector: by the switch or by ?projector=1, and the browser remembers it if it may.
const projector = element.querySelector('[name=projector]'), key = 'modelcraft-projector';
const project = on => {
  document.documentElement.classList.toggle('mc-projector', on);
  projector.setAttribute('aria-pressed', on);
  try { localStorage.setItem(key, on ? '1' : ''); } catch {}
};
projector.onclick = () => {
  const address = new URL(location.href), on = projector.getAttribute('aria-pressed') !== 'true';
  if (address.searchParams.has('projector')) {  // or it would stand against the switch when the page loads again
    address.searchParams.set('projector', on ? 1 : 0);
    history.replaceState(history.state, '', address);
  }
  project(on);
};
const remembered = () => { try { return localStorage.getItem(key) === '1'; } catch { return false; } };
const asked = new URLSearchParams(location.search).get('projector');
project(['0', '1'].includes(asked) ? asked === '1' : remembered());
