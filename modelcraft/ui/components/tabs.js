// On a narrow screen the row of tabs scrolls: it follows to the tab that is chosen, by whatever button or address.
() => {
  const row = document.querySelector('#tabs [role=tablist]');
  const follow = () => {
    const {left, width} = row.querySelector('[aria-selected=true]').getBoundingClientRect(), all = row.getBoundingClientRect();
    row.scrollBy({left: left + width / 2 - all.left - all.width / 2, behavior: 'instant'});
  };
  new MutationObserver(follow).observe(row, {subtree: true, attributeFilter: ['aria-selected']});
}
