// A question with guesses. The answer appears where the guesses were, in a place that has room for both: nothing moves.
const find = name => element.querySelector(`.mc-guess-${name}`);
const draw = () => {
  const {question = '', guesses = [], right = 0, answer = ''} = props.value ?? {};
  find('question').textContent = question;
  find('answer').textContent = '';
  find('place').dataset.room = `Not quite. ${answer}`;
  find('choices').style.visibility = '';
  find('choices').replaceChildren(...guesses.map((guess, i) => {
    const button = Object.assign(make('button', '', guess), {type: 'button'});
    button.onclick = () => {
      find('choices').style.visibility = 'hidden';
      find('answer').textContent = `${i === right ? 'Yes.' : 'Not quite.'} ${answer}`;
      find('answer').focus({preventScroll: true});
      trigger('input');  // for a tab that shows what answers it only now
    };
    return button;
  }));
};
draw();
watch('value', draw);
