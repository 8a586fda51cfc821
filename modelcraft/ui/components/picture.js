// Save picture: the picture of the open tab as a file, made in the browser.
//
// An SVG: a PNG would need a canvas, which Safari locks once HTML was drawn into it. A view that is one SVG is saved as
// such, for any program; a view of HTML goes into a foreignObject, which browsers show. Every element takes its computed
// style along, but for what it inherits or what is initial, and HTML becomes spans, to which no style sheet adds any.
() => {
  // Of each tab with a picture: where it is, and which parts of the page name the rungs in it.
  const PICTURES = {
    'race': ['.mc-race', '.mc-lane-name'],
    'next-character': ['.mc-next', '#next-rung input'],
    'attention': ['.mc-attention', '#attention-rung input'],
    'one-step': ['.mc-way', '#one-step-rung input'],
    'surprise': ['.mc-surprise', '.mc-surprise h2'],
    'counting': ['.mc-pairs-plate svg', ''],
    'embeddings': ['.mc-emb-map svg', '#embeddings-rung input'],
    'ladder': ['.mc-ladder-lead .mc-ladder-bars', '.mc-ladder-lead h2'],
    'train': ['.mc-training .mc-plot svg', '.mc-training h2'],
  };
  const EMPTY = `.mc-race:empty, .mc-surprise:not(:has(h2)), .mc-next:not(:has(tbody tr)), .mc-attention-empty, .mc-way-empty,
    .mc-emb-empty svg`;
  const LEFT_OUT = `button:not(.mc-word > *), details, title, metadata, [hidden], .mc-word-note, .mc-surprise-said,
    .mc-surprise-first`;
  const SVG = 'http://www.w3.org/2000/svg', HTML = 'http://www.w3.org/1999/xhtml', MARGIN = 16;
  const sides = (...names) => names.flatMap(name => ['top', 'right', 'bottom', 'left'].map(side => name.replace('*', side)));
  const FONT = ['color', 'font-family', 'font-size', 'font-style', 'font-weight', 'font-variant-caps', 'font-variant-numeric',
    'letter-spacing', 'visibility', 'image-rendering'];
  const HANDED_DOWN = {
    html: [...FONT, 'line-height', 'text-align', 'text-indent', 'white-space', 'overflow-wrap', 'border-collapse',
      'border-spacing', 'caption-side', 'writing-mode', 'direction'],
    svg: [...FONT, 'fill', 'fill-opacity', 'fill-rule', 'stroke', 'stroke-width', 'stroke-opacity', 'stroke-dasharray',
      'stroke-dashoffset', 'stroke-linecap', 'stroke-linejoin', 'text-anchor', 'dominant-baseline'],
  };
  const OWN = {
    html: ['display', 'position', 'box-sizing', 'width', 'height', 'opacity', 'transform', 'transform-origin', 'clip-path',
      'scale', 'box-shadow', 'vertical-align', 'table-layout', 'overflow-x', 'overflow-y', 'text-overflow',
      'unicode-bidi', 'order', 'z-index',
      'background-color', 'background-image', 'background-size', 'background-position', 'background-repeat',
      'text-underline-offset', 'outline-offset',
      'flex-direction', 'flex-wrap', 'flex-grow', 'flex-shrink', 'flex-basis', 'align-items', 'align-content', 'align-self',
      'justify-items', 'justify-content', 'justify-self', 'row-gap', 'column-gap', 'grid-template-columns',
      'grid-template-rows', 'grid-auto-flow', 'grid-auto-columns', 'grid-auto-rows', 'grid-row-start', 'grid-row-end',
      'grid-column-start', 'grid-column-end', ...sides('*', 'margin-*', 'padding-*'), 'border-top-left-radius',
      'border-top-right-radius', 'border-bottom-left-radius',
      'border-bottom-right-radius'],
    svg: ['opacity', 'display', 'text-decoration-line'],
  };

  // A line has a colour of its own only where there is one: the initial colour is that of the text.
  const LINES = [...sides('border-*'), 'outline'].map(side => [`${side}-width`, `${side}-style`, `${side}-color`]);
  LINES.push(['text-decoration-line', 'text-decoration-style', 'text-decoration-color', 'text-decoration-thickness']);

  // A maker of copies with the look of what they are copies of; each look is written once, as a class.
  const copier = initial => {
    const looks = new Map();
    const look = (kind, style, above, change = {}) => {
      const written = [
        ...HANDED_DOWN[kind].filter(name => style.getPropertyValue(name) !== above.getPropertyValue(name)),
        ...OWN[kind].filter(name => name in change || style.getPropertyValue(name) !== initial.getPropertyValue(name)),
        ...kind === 'svg' ? [] : LINES.flatMap(line =>
          line.slice(0, 2).some(name => /^(0px|none)$/.test(style.getPropertyValue(name))) ? [] : line),
      ].map(name => {
        const value = change[name] ?? style.getPropertyValue(name);
        // Browsers lay out in 64ths of a pixel, but say thousandths: a line that just fits would be broken.
        return `${name}:${name === 'width' ? value.replace(/^[\d.]+/, width => Math.ceil(64 * width - .1) / 64) : value}`;
      }).join(';');
      if (written && !looks.has(written)) looks.set(written, `l${looks.size}`);
      return looks.get(written);
    };
    const added = (node, which, above) => {
      const style = getComputedStyle(node, which), text = style.content.match(/^"(.*)"/s)?.[1];
      if (text === undefined) return [];
      const copy = document.createElementNS(HTML, 'span');
      copy.setAttribute('class', look('html', style, above));
      copy.textContent = text;
      return [copy];
    };
    const copied = (node, above, change) => {
      if (node.nodeType === Node.TEXT_NODE) return [node.cloneNode()];
      if (node.nodeType !== Node.ELEMENT_NODE || node.matches(LEFT_OUT)) return [];
      const style = getComputedStyle(node), drawn = node instanceof SVGElement, canvas = node.localName === 'canvas';
      if (!drawn && style.display === 'none') return [];
      const copy = drawn ? node.cloneNode() : document.createElementNS(HTML, canvas ? 'img' : 'span');
      if (drawn) for (const name of ['class', 'style', 'aria-hidden', ...HANDED_DOWN.svg, ...OWN.svg]) copy.removeAttribute(name);
      if (canvas) copy.src = node.toDataURL();
      const name = look(drawn ? 'svg' : 'html', style, above, change);
      if (name) copy.setAttribute('class', name);
      const inside = [...node.childNodes].flatMap(child => copied(child, style));
      copy.append(...drawn ? inside : [...added(node, '::before', style), ...inside, ...added(node, '::after', style)]);
      return [copy];
    };
    const sheet = () => [...looks].map(([written, name]) => `.${name}{${written}}`).join('\n');
    return {copied, sheet};
  };
  const svgElement = (tag, values) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
    return node;
  };
  const paperBehind = node => {
    for (let at = node; at; at = at.parentElement) {
      const paper = getComputedStyle(at).backgroundColor;
      if (!/^rgba\(.*, 0(\.\d+)?\)$|^transparent$/.test(paper)) return paper;
    }
    return '#fff';
  };

  // Return the picture as a whole document. While it is copied, boxes that scroll show all that they hold.
  const written = (view, title) => {
    const aside = document.body.appendChild(document.createElement('div'));
    const blank = aside.appendChild(document.createElement('span'));  // in a block, or it would not be inline
    aside.style.display = 'block';
    blank.style.all = 'initial';
    view.classList.add('mc-saving');
    const initial = getComputedStyle(blank), {copied, sheet} = copier(initial);
    const drawn = view instanceof SVGElement, box = view.getBoundingClientRect();
    let [x, y, width, height, scale] = [0, 0, box.width, box.height, 1];
    if (drawn) ({x, y, width, height} = view.viewBox.baseVal), scale = view.getScreenCTM().a;
    const still = {position: 'static', transform: 'none', ...Object.fromEntries(sides('margin-*').map(side => [side, '0']))};
    const [copy] = copied(view, initial, drawn ? {} : still);
    const margin = MARGIN / scale, paper = paperBehind(view);
    view.classList.remove('mc-saving');
    aside.remove();
    const whole = {x: x - margin, y: y - margin, width: width + 2 * margin, height: height + 2 * margin};
    const picture = drawn ? copy : svgElement('svg', {});
    const sizes = {width: Math.ceil(scale * whole.width), height: Math.ceil(scale * whole.height)};
    for (const [name, value] of Object.entries({...sizes, viewBox: Object.values(whole).join(' ')})) {
      picture.setAttribute(name, value);
    }
    if (!drawn) {
      const frame = svgElement('foreignObject', {x, y, width: width + margin, height: height + margin});
      frame.append(copy);
      picture.append(frame);
    }
    picture.prepend(svgElement('title', {}), svgElement('style', {}),
      svgElement('rect', {...whole, style: `fill:${paper};stroke:none`}));
    picture.children[0].textContent = title;
    picture.children[1].textContent = sheet();
    // XML has no room for most control characters.
    return new XMLSerializer().serializeToString(picture)
      .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
  };

  const button = () => document.querySelector('#head [name=picture]');
  const opened = () => document.querySelector('#tabs [role=tab][aria-selected=true]').dataset.tabId;
  const names = where => where ? [...document.querySelectorAll(where)]
    .map(part => (part.value ?? part.textContent).split(' · ')[0].trim()).filter(Boolean) : [];
  let over = 0;
  const save = () => {
    const [where, naming] = PICTURES[opened()], view = document.querySelector(where);
    const told = button().querySelector('[role=status]');
    const there = view?.getClientRects().length && !view.matches(EMPTY)
      && (view.textContent.trim() || view.querySelector('image'));
    told.textContent = there ? 'Saved' : 'Nothing yet';
    clearTimeout(over);
    over = setTimeout(() => { told.textContent = ''; }, 2000);
    if (!there) return;
    const rungs = names(naming), plain = text => text.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '');
    const file = ['modelcraft', opened(), ...rungs].map(plain).filter(Boolean).join('-').slice(0, 100);
    const link = document.createElement('a');
    const title = `ModelCraft: ${[opened().replace('-', ' '), ...rungs].join(', ')}`;
    link.href = URL.createObjectURL(new Blob([written(view, title)], {type: 'image/svg+xml'}));
    link.download = `${file}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const offer = () => { button().hidden = !(opened() in PICTURES); };
  document.addEventListener('click', ({target}) => { if (target.closest('#head [name=picture]')) save(); });
  new MutationObserver(offer).observe(document.querySelector('#tabs [role=tablist]'), {subtree: true, attributeFilter: ['aria-selected']});
  offer();
}
