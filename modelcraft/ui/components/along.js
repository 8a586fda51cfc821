// Notes which rung and which text were chosen last, in the chat or in a tab that looks inside, for the tab that opens next.
(...values) => {
  const rules = RULES, tabs = TABS, seen = MOST_SEEN, chosen = {};  // rung and text: {tab, value}
  const given = [];  // what a field got from another tab: that is no choice
  const behind = new Set();  // fields of closed tabs that something else has set, such as a button of the ladder
  let back = -Infinity, now = '';  // when Back or Forward was pressed; the tab that is to show a line of the chat
  const ours = ({tab, kind}) => tab in tabs && kind && (tab !== 'chat' || kind === 'rung');
  const opened = () => document.querySelector('#tabs [role=tab][aria-selected=true]').dataset.tabId;
  const choose = (i, value) => { chosen[rules[i].kind] = {tab: rules[i].tab, value}; };

  rules.forEach((rule, i) => { if (ours(rule) && values[i] !== rule.first) choose(i, values[i]); });  // by the address
  document.addEventListener('modelcraft-fields', ({detail}) => {
    rules.forEach((rule, i) => {
      if (!ours(rule) || detail[i] === values[i] || detail[i] === given[i]) return;
      if (rule.tab === opened() || rule.tab === 'chat') choose(i, detail[i]);
      else behind.add(`${rule.tab} ${rule.kind}`);
    });
    values = detail;
  });
  // A line of the chat: its end for what may follow it, else its beginning, and the rung that wrote it.
  document.addEventListener('modelcraft-take', ({detail: {tab, text, rung}}) => {
    const most = Math.min(seen, tabs[tab][0]), whole = [...text];
    const value = (tab === 'next-character' ? whole.slice(-most) : whole.slice(0, most)).join('');
    chosen.text = {tab: 'chat', value};
    chosen.rung = {tab: 'chat', value: rung ?? values[rules.findIndex(rule => rule.tab === 'chat' && rule.kind === 'rung')]};
    now = tab;
    const button = document.getElementById(`${tab}-tab-button`);
    button.click();
    button.focus({preventScroll: true});
    scrollTo(0, 0);
  });
  addEventListener('popstate', () => { back = performance.now(); }, true);

  const cut = (text, [most, end]) => {
    const characters = [...text];
    return (end ? characters.slice(-most) : characters.slice(0, most)).join('');
  };
  document.addEventListener('modelcraft-along', ({detail}) => {
    const {tab} = detail, along = {}, asked = now === tab;
    const at = kind => rules.findIndex(rule => rule.tab === tab && rule.kind === kind);
    now = '';
    const set = ['rung', 'text'].filter(kind => {
      const fresh = detail[kind] !== values[at(kind)] && detail[kind] !== given[at(kind)];
      return behind.delete(`${tab} ${kind}`) || fresh;
    });
    if (!asked) for (const kind of set) chosen[kind] = {tab, value: detail[kind]};
    if (!asked && (set.length || performance.now() - back < 1000)) return;  // or the address says what is shown
    for (const kind of ['rung', 'text']) {
      const one = chosen[kind];
      if (!one?.value || one.tab === tab) continue;
      const value = kind === 'text' ? cut(one.value, tabs[tab]) : one.value;
      if (!asked && value === detail[kind]) continue;
      along[kind] = given[at(kind)] = value;
    }
    if (asked) along.now = true;
    if (Object.keys(along).length) detail.along = along;
  });
}
