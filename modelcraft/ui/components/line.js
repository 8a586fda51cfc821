const line = element.querySelector('.mc-plain');
const draw = () => { line.textContent = props.value ?? ''; };
draw();
watch('value', draw);
