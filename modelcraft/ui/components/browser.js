// The tab's own scripts are modules in ui/browser/, which a static Space uses, too. The line and the dials stand beside the
// sheet, in components of their own.
const base = new URL('browser/', document.baseURI), row = element.closest('.mc-beside');
import(new URL('page.js', base)).then(({mount}) => {
  const here = mount(row, base);
  const open = () => { if (props.value?.model) here.open(new URL(`model/${props.value.model}`, base)); };
  open();
  watch('value', open);
});
