// The tab's own scripts are modules in ui/browser/, which a static Space uses, too.
const base = new URL('browser/', document.baseURI);
import(new URL('page.js', base)).then(({mount}) => {
  const here = mount(element.querySelector('.mc-browser'), base);
  const open = () => { if (props.value?.model) here.open(new URL(`model/${props.value.model}`, base)); };
  open();
  watch('value', open);
});
