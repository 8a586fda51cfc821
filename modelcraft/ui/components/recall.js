// What the browser keeps under a key. It may forbid a page to keep anything (a Space in another site's frame, say): then
// even to ask raises.
() => { try { return localStorage.getItem(KEY) ?? ''; } catch { return ''; } }
