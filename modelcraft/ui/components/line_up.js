// Ticked names become columns: at most four, in the order of the ladder, and a column that stays keeps its text. The last
// of what is returned says why a fifth name is not ticked.
(names, lanes, own) => {
  const ladder = [...LADDER, ...JSON.parse(own)], most = 4;
  const hint = names.length > most ? 'Four race at a time: take one of them out first.' : '';
  names = names.slice(0, most);
  if (lanes.some(lane => lane.writing)) return [names, lanes, hint];
  const chosen = ladder.filter(lane => names.includes(lane.name));
  return [names, chosen.map(lane => lanes.find(one => one.name === lane.name) ?? lane), hint];
}
