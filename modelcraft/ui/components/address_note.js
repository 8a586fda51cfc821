// Tell address.js what the fields hold now.
(...values) => { document.dispatchEvent(new CustomEvent('modelcraft-fields', {detail: values})); }
