// ui/browser/page.js brings it to life: see browser.js.
