// Click the link of a file once Gradio has drawn it.
() => {
  const find = left => {
    const link = document.querySelector('#train-file a[download]');
    if (link) link.click(); else if (left) setTimeout(() => find(left - 1), 100);
  };
  find(30);
}
