// How alike a rung considers two places: a picture that the server drew, and a sentence.
const draw = () => {
  const {plots = [], said = ''} = props.value ?? {};
  element.querySelector('.mc-emb-picture').replaceChildren(...plots.map(drawnPicture));
  element.querySelector('p').textContent = said;
};
draw();
watch('value', draw);
