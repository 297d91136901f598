// Points on the result: set by a click, moved, recoloured, removed, undone; by mouse, touch, keys.
// The server colours and knows the names; this keeps the points and draws them.
window.guides = (() => {
  const STEP = 0.01;
  const MOVED = 6; // CSS pixels: less is a click
  const PATIENCE = 4000; // ms: an edit that has no answer by then is told once more
  const state = { points: [], selected: -1, undo: [], turn: 0, view: null, fresh: -1 };

  let tell = () => {};
  const connect = (listener) => { tell = listener; };

  const find = (selector) => document.querySelector(selector);
  const say = (key) => (state.view && state.view.texts[key]) || '';
  const clamp = (value) => Math.min(1, Math.max(0, value));
  const plain = () => state.points.map(({ x, y, color, radius }) => ({ x, y, color, radius }));

  function element(tag, attributes = {}, children = []) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
      else if (value !== false) made.setAttribute(key, value === true ? '' : value);
    }
    made.append(...children);
    return made;
  }

  let unanswered = 0;

  function send() {
    state.turn += 1;
    const post = () => tell({ points: plain(), selected: state.selected, turn: state.turn });
    post();
    clearTimeout(unanswered); // of edits in quick succession, the last may be lost on a busy server
    unanswered = setTimeout(post, PATIENCE);
  }

  function remember() { state.undo.push({ points: plain(), selected: state.selected }); }

  function change(points, selected, keep = true) {
    if (keep) remember();
    state.points = points;
    state.selected = selected;
    draw();
    send();
  }

  function add(x, y) {
    if (!state.view || !state.view.able) return;
    const point = { x: clamp(x), y: clamp(y), color: '', radius: 0 };
    change([...state.points, point], state.points.length);
    state.fresh = state.selected; // its first colour belongs to the same step
  }

  function alter(index, values, keep = true) {
    const first = 'color' in values && state.fresh === index;
    if (first) state.fresh = -1;
    const points = plain();
    points[index] = { ...points[index], ...values };
    change(points, index, keep && !first);
  }

  function remove(index) {
    const points = plain();
    points.splice(index, 1);
    state.fresh = -1;
    change(points, Math.min(index, points.length - 1));
    focusLater('#guides .guide-row.selected .guide-number, #guides .guide-add');
  }

  function undo() {
    const before = state.undo.pop();
    if (!before) return;
    state.fresh = -1;
    change(before.points, before.selected, false);
  }

  function select(index) {
    if (state.selected === index) return;
    state.selected = index;
    draw();
    send();
  }

  function receive(text) {
    if (!text) return;
    const view = JSON.parse(text);
    const answers = view.turn === state.turn;
    if (answers || view.turn < 0) clearTimeout(unanswered);
    state.view = view;
    if (view.turn < 0) { // another photograph, or a guides file
      if (view.fresh) state.undo = [];
      else if (JSON.stringify(plain()) !== JSON.stringify(view.points.map(bare))) remember();
      state.fresh = -1;
      state.selected = -1;
      state.points = view.points;
    } else if (answers) {
      state.points = view.points;
    }
    draw();
  }

  const bare = ({ x, y, color, radius }) => ({ x, y, color, radius });

  // the list ------------------------------------------------------------------------------------

  function draw() {
    drawList();
    drawLayer();
  }

  function focusLater(selector) {
    requestAnimationFrame(() => { const found = find(selector); if (found) found.focus(); });
  }

  let held = false; // a button that is replaced between press and release is never clicked
  let overdue = false;
  document.addEventListener('pointerdown', (event) => {
    held = event.target instanceof Element && Boolean(event.target.closest('#guides'));
  }, true);
  for (const kind of ['pointerup', 'pointercancel']) {
    document.addEventListener(kind, () => {
      held = false;
      if (overdue) setTimeout(drawList); // after the click that follows
    }, true);
  }

  function drawList() {
    const root = find('#guides');
    if (!root) return;
    overdue = held;
    if (held) return;
    const active = document.activeElement;
    const key = root.contains(active) ? active.getAttribute('data-key') : null;
    if (active && active.type === 'color' && root.contains(active)) return refresh(root);
    root.replaceChildren(...(state.view && state.view.photo ? parts() : []));
    if (key) {
      const again = root.querySelector(`[data-key="${key}"]`);
      if (again) again.focus();
    }
  }

  function refresh(root) { // an open colour chooser would close with its input
    state.points.forEach((point, index) => {
      const name = root.querySelector(`[data-name="${index}"]`);
      if (name) name.textContent = point.name || '…';
      const number = root.querySelector(`[data-key="n${index}"]`);
      if (number) number.style.setProperty('--color', point.color || 'transparent');
    });
  }

  function parts() {
    if (!state.view.able) return [element('p', {}, [say('guide_unable')])];
    const made = [element('p', { class: 'guide-hint' }, [say('guide_hint')])];
    if (state.points.length) made.push(element('ol', { class: 'guide-list' }, state.points.map(row)));
    if (state.view.swatches && state.points[state.selected]) made.push(offers());
    made.push(actions());
    return made;
  }

  function row(point, index) {
    const label = `${say('guide_point')} ${index + 1}`;
    return element('li', { class: `guide-row${index === state.selected ? ' selected' : ''}` }, [
      element('button', {
        type: 'button', class: 'guide-number', 'data-key': `n${index}`,
        'aria-label': `${label}: ${point.name || ''}`, 'aria-pressed': index === state.selected,
        style: `--color:${point.color || 'transparent'}`, onclick: () => select(index),
        onkeydown: (event) => keys(event, index),
      }, [String(index + 1)]),
      element('input', {
        type: 'color', value: point.color || '#808080', 'data-key': `c${index}`,
        'aria-label': `${label}: ${say('guide_color')}`,
        onfocus: () => select(index),
        oninput: (event) => live(index, event.target.value),
        onchange: (event) => settle(index, event.target.value),
        onblur: () => requestAnimationFrame(drawList),
      }),
      element('span', { class: 'guide-name', 'data-name': index }, [point.name || '…']),
      coordinate(point, index, 'x', label),
      coordinate(point, index, 'y', label),
      element('button', {
        type: 'button', class: 'guide-remove', 'data-key': `r${index}`,
        'aria-label': `${label}: ${say('guide_remove')}`, title: say('guide_remove'),
        onclick: () => remove(index),
      }, ['×']),
    ]);
  }

  function coordinate(point, index, axis, label) {
    return element('label', { class: 'guide-place' }, [
      axis,
      element('input', {
        type: 'number', min: 0, max: 100, step: 1, value: Math.round(point[axis] * 100),
        'data-key': `${axis}${index}`, 'aria-label': `${label}: ${say(`guide_${axis}`)}`,
        onchange: (event) => {
          const value = Number(event.target.value);
          if (Number.isFinite(value)) alter(index, { [axis]: clamp(value / 100) });
        },
      }),
      '%',
    ]);
  }

  let picking = null;

  function live(index, color) { // while the chooser is open: one undo step for the whole choice
    if (picking === null) {
      if (state.fresh === index) state.fresh = -1;
      else remember();
    }
    picking = index;
    alter(index, { color }, false);
  }

  function settle(index, color) {
    if (picking === null) alter(index, { color });
    picking = null;
    draw();
  }

  function offers() {
    const index = state.selected;
    const buttons = state.view.swatches.map((offer, number) => element('button', {
      type: 'button', class: 'guide-swatch', 'data-key': `s${number}`,
      onclick: () => alter(index, { color: offer.color }),
    }, [
      element('span', { class: 'guide-ink', style: `background:${offer.color}`, 'aria-hidden': 'true' }),
      offer.name,
    ]));
    const label = `${say('guide_swatches')} ${index + 1}`;
    return element('div', { class: 'guide-offers', role: 'group', 'aria-label': label }, buttons);
  }

  function actions() {
    const button = (key, name, disabled, onclick) => element('button', {
      type: 'button', class: `guide-action ${name}`, 'data-key': name, disabled, onclick,
    }, [say(key)]);
    return element('div', { class: 'guide-actions' }, [
      button('guide_add', 'guide-add', false, () => {
        add(0.5, 0.5);
        focusLater('#guides .guide-row.selected .guide-number');
      }),
      button('guide_undo', 'guide-undo', !state.undo.length, undo),
      button('guide_clear', 'guide-clear', !state.points.length, () => change([], -1)),
      button('guide_save', 'guide-save', !state.points.length, save),
    ]);
  }

  function save() {
    const address = URL.createObjectURL(new Blob([state.view.file], { type: 'application/json' }));
    const link = element('a', { href: address, download: state.view.name });
    document.body.append(link);
    link.click();
    link.remove();
    URL.revokeObjectURL(address);
  }

  function keys(event, index) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way) {
      const step = event.shiftKey ? 5 * STEP : STEP;
      const { x, y } = state.points[index];
      alter(index, { x: clamp(x + way[0] * step), y: clamp(y + way[1] * step) });
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      remove(index);
    } else if (event.key.toLowerCase() === 'z' && (event.ctrlKey || event.metaKey)) {
      undo();
    } else {
      return;
    }
    event.preventDefault();
  }

  // over the result -----------------------------------------------------------------------------

  function box() { // where the picture itself lies, in client coordinates
    const image = [...document.querySelectorAll('#slider img')].pop();
    if (!image || !image.naturalWidth) return null;
    const outer = image.getBoundingClientRect();
    const scale = Math.min(outer.width / image.naturalWidth, outer.height / image.naturalHeight);
    const width = image.naturalWidth * scale;
    const height = image.naturalHeight * scale;
    return {
      left: outer.left + (outer.width - width) / 2, top: outer.top + (outer.height - height) / 2,
      width, height,
    };
  }

  let dragged = false; // a dot in hand must not be replaced by an answer that arrives

  function drawLayer() {
    if (dragged) return;
    const host = find('#slider');
    const frame = host && box();
    let layer = find('#guide-layer');
    if (layer && layer.parentElement !== host) { layer.remove(); layer = null; }
    if (!frame) { // no picture; or one that is on its way, whose loading draws again
      if (layer && !host.querySelector('img')) layer.replaceChildren();
      return;
    }
    if (!layer) {
      layer = element('div', { id: 'guide-layer' });
      host.append(layer);
    }
    const origin = host.getBoundingClientRect();
    layer.replaceChildren(...state.points.map((point, index) => element('div', {
      class: `guide-dot${index === state.selected ? ' selected' : ''}`, 'aria-hidden': 'true',
      style: `left:${frame.left - origin.left + point.x * frame.width}px;`
        + `top:${frame.top - origin.top + point.y * frame.height}px;`
        + `--color:${point.color || 'transparent'}`,
      onpointerdown: (event) => drag(event, index),
    }, [String(index + 1)])));
  }

  function place(event) {
    const frame = box();
    if (!frame) return null;
    const x = (event.clientX - frame.left) / frame.width;
    const y = (event.clientY - frame.top) / frame.height;
    return x >= 0 && x <= 1 && y >= 0 && y <= 1 ? { x, y } : null;
  }

  function drag(event, index) {
    event.preventDefault();
    event.stopPropagation();
    const dot = event.currentTarget;
    const start = { x: event.clientX, y: event.clientY };
    let moved = false;
    dragged = true;
    dot.setPointerCapture(event.pointerId);
    const move = (now) => {
      moved = moved || Math.hypot(now.clientX - start.x, now.clientY - start.y) > MOVED;
      if (!moved) return;
      const origin = find('#slider').getBoundingClientRect();
      dot.style.left = `${now.clientX - origin.left}px`;
      dot.style.top = `${now.clientY - origin.top}px`;
    };
    const end = (now) => {
      dragged = false;
      dot.removeEventListener('pointermove', move);
      dot.removeEventListener('pointerup', end);
      dot.removeEventListener('pointercancel', end);
      const there = moved && place(now);
      if (there) alter(index, there);
      else if (moved) draw();
      else select(index);
      drawLayer();
    };
    dot.addEventListener('pointermove', move);
    dot.addEventListener('pointerup', end);
    dot.addEventListener('pointercancel', end);
  }

  let pressed = null;
  document.addEventListener('pointerdown', (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const onPicture = target && target.closest('#slider') && !target.closest('#guide-layer > *');
    pressed = onPicture ? { x: event.clientX, y: event.clientY } : null;
  }, true);
  document.addEventListener('pointerup', (event) => {
    if (!pressed || event.button || !(event.target instanceof Element)) return;
    const far = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
    pressed = null;
    if (far > MOVED || event.target.closest('button, [data-testid="slider"]')) return;
    const there = event.target.closest('#slider') && place(event);
    if (there) add(there.x, there.y);
  }, true);

  const soon = () => requestAnimationFrame(drawLayer); // the slider enlarges and moves its picture
  window.addEventListener('resize', soon);
  document.addEventListener('pointermove', () => { if (pressed) soon(); }, true);
  document.addEventListener('wheel', (event) => {
    if (event.target instanceof Element && event.target.closest('#slider')) soon();
  }, { capture: true, passive: true });
  return { connect, receive, drawLayer };
})();
