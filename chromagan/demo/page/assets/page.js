// Gradio's slider and thumbnails come without a text for screen readers; the labels supply it.
(() => {
  const name = (image) => {
    const block = image.closest('.block');
    const label = block && block.querySelector('[data-testid="block-label"], label');
    return label ? label.textContent.trim() : 'photo';
  };
  const tidy = () => {
    document.querySelectorAll('.gradio-container img').forEach((image) => {
      if (!image.alt) image.alt = name(image);
    });
  };
  let waiting = false;
  new MutationObserver(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; tidy(); });
  }).observe(document, { childList: true, subtree: true });
  // the points lie over the picture: where it is, is known once it is there
  document.addEventListener('load', (event) => {
    if (event.target.closest && event.target.closest('#slider')) window.guides.drawLayer();
  }, true);
})();
