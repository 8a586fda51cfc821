// ui/browser/page.js brings it to life (see browser.js), and the page's address follows it.
import(new URL('browser/fields.js', document.baseURI)).then(({follow}) => follow({element, props, watch, trigger}));
