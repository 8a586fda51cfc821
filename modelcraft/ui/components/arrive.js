// A button has brought another page: it begins at the top, with the focus there.
() => {
  scrollTo(0, 0);
  document.querySelector(PLACE)?.focus({preventScroll: true});
}
