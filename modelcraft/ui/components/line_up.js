// Ticked names become columns: at most four, in the order of the ladder, and a column that stays keeps its text.
(names, lanes) => {
  const ladder = LADDER;
  names = names.slice(0, 4);
  if (lanes.some(lane => lane.writing)) return [names, lanes];
  const chosen = ladder.filter(lane => names.includes(lane.name));
  return [names, chosen.map(lane => lanes.find(one => one.name === lane.name) ?? lane)];
}
