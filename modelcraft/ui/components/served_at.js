// The guide to the API, with the address that this page is served from.
() => GUIDE.replaceAll('http://127.0.0.1:7860', new URL('.', document.baseURI).href.replace(/\/$/, ''))
