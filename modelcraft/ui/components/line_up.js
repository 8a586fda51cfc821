// What was ticked becomes the columns: no fifth one, in the order of the ladder, and who stays keeps the text.
(names, lanes) => {
  const ladder = LADDER;
  names = names.slice(0, 4);
  if (lanes.some(lane => lane.writing)) return [names, lanes];
  const chosen = ladder.filter(lane => names.includes(lane.name));
  return [names, chosen.map(lane => lanes.find(one => one.name === lane.name) ?? lane)];
}
