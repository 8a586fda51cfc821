// What the browser stores under a key. It may forbid storage (for a Space in another site's frame, say): then even a
// read raises.
() => { try { return localStorage.getItem(KEY) ?? ''; } catch { return ''; } }
