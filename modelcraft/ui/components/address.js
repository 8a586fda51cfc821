// The address follows the open tab and its fields; Back and Forward go from tab to tab; and when the page loads, its
// fields get what the address says, and the dials of the other tabs what the browser has kept through a reload. Returns
// their values. What a field cannot hold is left out, both ways.
(...values) => {
  const rules = RULES, longest = 300;  // characters of a text
  const storage = 'modelcraft-dials';
  const isDial = ({name}) => !['rung', 'other', 'text'].includes(name);
  const own = new Set(['tab', ...rules.map(({name}) => name)]);
  const query = () => new URLSearchParams(location.search);
  const button = tab => document.getElementById(`${tab}-tab-button`);
  const opened = () => document.querySelector('#tabs [role=tab][aria-selected=true]').dataset.tabId;
  const asked = () => rules.find(({tab}) => tab === query().get('tab'))?.tab ?? rules[0].tab;

  // A field is all of a component's value, or the part of it that has a key.
  const held = ({key}, value) => key ? value?.[key] : value;
  const read = ({names, most, low, high, whole}, text, now) => {
    if (Array.isArray(now)) {
      const some = names.filter(name => text.split(',').includes(name)).slice(0, 4);
      return some.length ? some : now;
    }
    if (names) return names.includes(text) ? text : now;
    if (low !== undefined) {
      const number = text.trim() ? Number(text) : NaN;
      return number >= low && number <= high && (!whole || Number.isInteger(number)) ? number : now;
    }
    return [...text].length <= Math.min(longest, most ?? longest) ? text : now;
  };

  const written = () => {
    const said = query(), tab = opened();
    for (const name of own) said.delete(name);
    // What was chosen for a model of the visitor's own says nothing to others without it.
    const secret = rules.some(({tab: where, name, names}, i) =>
      where === tab && name === 'rung' && names && ![values[i]].flat().every(one => names.includes(one)));
    rules.forEach((rule, i) => {
      const {tab: where, name, names, first} = rule, value = held(rule, values[i]), text = String(value ?? '');
      const known = names ? [value].flat().every(one => names.includes(one)) : [...text].length <= longest;
      const telling = text !== String(first) || (tab !== rules[0].tab && ['rung', 'text'].includes(name));
      if (where === tab && known && telling && !secret) said.set(name, text);
    });
    if (tab !== rules[0].tab || [...said.keys()].some(name => own.has(name))) said.set('tab', tab);
    const search = said.toString();
    return location.pathname + (search && `?${search}`) + location.hash;
  };
  const keep = () => {
    const dials = rules.flatMap((rule, i) => isDial(rule) ? [[`${rule.tab} ${rule.name}`, held(rule, values[i])]] : []);
    try { sessionStorage.setItem(storage, JSON.stringify(Object.fromEntries(dials))); } catch {}
  };
  const kept = () => {
    if (!['reload', 'back_forward'].includes(performance.getEntriesByType('navigation')[0]?.type)) return {};
    try { return JSON.parse(sessionStorage.getItem(storage)) ?? {}; } catch { return {}; }
  };
  const replace = () => {
    clearTimeout(soon);
    keep();
    if (opened() === asked()) history.replaceState(history.state, '', written());
  };

  let soon = 0;  // browsers refuse too many changes of the address, so it waits until the fields are at rest
  document.addEventListener('modelcraft-fields', ({detail}) => {
    values = detail;
    clearTimeout(soon);
    soon = setTimeout(replace, 500);
  });
  document.addEventListener('modelcraft-address', replace);
  new MutationObserver(() => {
    if (opened() === asked()) replace();  // it was opened by the address
    else history.pushState(null, '', written());
  }).observe(document.querySelector('#tabs [role=tablist]'), {subtree: true, attributeFilter: ['aria-selected']});
  const open = () => { if (opened() !== asked()) button(asked()).click(); };
  addEventListener('popstate', open);
  document.addEventListener('modelcraft-restored', open, {once: true});

  const said = query(), dials = kept(), found = [];
  const tells = rules.some(({tab, name}) => tab === asked() && said.has(name));  // then it tells all of its tab
  rules.forEach((rule, i) => {
    const value = found[rule.at] ?? values[i], now = held(rule, value), dial = dials[`${rule.tab} ${rule.name}`];
    const here = rule.tab === asked(), text = here && tells ? said.get(rule.name) : isDial(rule) ? dial : null;
    const restored = ['string', 'number'].includes(typeof text) ? read(rule, String(text), now) : now;
    found[rule.at] = rule.key && restored !== now ? {...value, [rule.key]: restored} : rule.key ? value : restored;
  });
  values = rules.map(({at}) => found[at]);
  return found;
}
