// What the tab has stored of the script, shown again when the page loads.
() => {
  try {
    const {turns = [], writing = false} = JSON.parse(sessionStorage.getItem('modelcraft-script')) ?? {};
    const note = writing ? 'The connection was lost here. Continue, or Retry.' : '';
    return {turns, writing: false, note};
  } catch { return {turns: [], writing: false, note: ''}; }
}
