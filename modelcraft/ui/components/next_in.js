// The name that stands so many places after another one; at the ends of the list it stays what it is.
(name) => {
  const names = NAMES;
  return names[names.indexOf(name) + PLACES] ?? name;
}
