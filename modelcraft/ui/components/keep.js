// Let the browser store a value under a key, if it may.
value => { try { localStorage.setItem(KEY, value); } catch {} }
