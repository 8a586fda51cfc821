// ui/browser/page.js brings it to life: see browser.js. What is typed here stays here: no address holds it.
