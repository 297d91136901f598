"""Looks: one calm theme, light and dark, from system fonts; nothing is loaded from elsewhere."""

from __future__ import annotations

from typing import Any

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; overflow-x: hidden; }
.gradio-container .block { min-width: 0 !important; }
#masthead { padding: 1rem .25rem .4rem; gap: 0 !important; }
#title h1 { font-size: 1.9rem; font-weight: 650; letter-spacing: -.02em; margin: 0; }
#title p { font-size: 1.05rem; margin: .1rem 0 .2rem; opacity: .85; }
#title h1::after { content: ""; display: block; height: 4px; width: 9.5rem; border-radius: 2px;
  margin-top: .35rem; background: linear-gradient(90deg, #8a8a8a 0 34%, #b5764a 50%, #d8a94e 64%,
  #5a8f7b 82%, #3f6f97); }
#honest, #privacy { font-size: .88rem; opacity: .8; }
#privacy { padding: .6rem .25rem 0; border-top: 1px solid var(--border-color-primary); }
#stage { display: grid; gap: 1rem; grid-template-columns: minmax(0, 4fr) minmax(0, 6fr);
  grid-template-rows: auto 1fr; grid-template-areas: "photo result" "examples result"; }
#stage > .column { min-width: 0 !important; width: auto; }
.stage-photo { grid-area: photo; } .stage-result { grid-area: result; }
.stage-examples { grid-area: examples; gap: .4rem !important; }
#slider { min-height: 220px; }
#slider img { width: 100%; }
.heading { font-weight: 600; font-size: .92rem; padding: .25rem 0 0; }
.plain, .plain .styler { border: none !important; background: none !important;
  box-shadow: none !important; }
.strip { border: none !important; background: none !important; }
.strip .grid-wrap { min-height: 0 !important; height: auto !important; max-height: none !important;
  overflow: visible !important; padding: .15rem !important; }
.strip .grid-container { gap: .5rem !important; padding: 0 !important;
  grid-template-columns: repeat(var(--grid-cols), minmax(0, 1fr)) !important; }
.strip .thumbnail-item { box-shadow: none !important; border-radius: 8px; }
#history .grid-container { --grid-cols: 8 !important; }
#variants .grid-container, #batch-gallery .grid-container { --grid-cols: 3 !important; }
.examples .caption-label { display: none; }
.examples .thumbnail-item { aspect-ratio: 1; height: auto !important; }
.examples .grid-container { grid-template-rows: none !important;
  grid-auto-rows: auto !important; }
.examples .gallery-item { height: auto !important; }
.strip .thumbnail-item:hover { border-color: var(--color-accent) !important; }
.strip .caption-label { font-size: .78rem; }
div:has(> #view) { background: none !important; border: none !important;
  box-shadow: none !important; }
#view { padding: 0 .1rem !important; }
#view .wrap { gap: .4rem; }
#view label { padding: .15rem .7rem; font-size: .88rem; }
#view > span { display: none; }
.status { font-size: .95rem; line-height: 1.5; }
#facts ul { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem .5rem; padding: 0;
  margin: 0 0 .35rem; }
#facts li { background: var(--background-fill-secondary); border-radius: 999px;
  padding: .12rem .7rem; border: 1px solid var(--border-color-primary); margin: 0; }
.status p { margin: .25rem 0 0; }
.status progress { width: 100%; height: .6rem; accent-color: var(--color-accent); }
.status .bad { border-left: 3px solid #c2703d; padding-left: .6rem; margin: .3rem 0;
  overflow-wrap: anywhere; }
.classes ol { list-style: none; margin: 0; padding: 0; }
.classes li { display: grid; grid-template-columns: minmax(6rem, 13rem) 1fr 3.4rem; gap: .7rem;
  align-items: center; margin: .3rem 0; font-size: .92rem; }
.classes .bar { background: var(--background-fill-secondary); border-radius: 4px; height: .55rem; }
.classes .bar span { display: block; height: 100%; border-radius: 4px;
  background: var(--color-accent); }
.classes .share { text-align: right; font-variant-numeric: tabular-nums; opacity: .8; }
.classes h3 { font-size: .92rem; font-weight: 600; margin: .2rem 0 .3rem; }
button:focus-visible, a:focus-visible, input:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid var(--color-accent) !important; outline-offset: 2px; }
@media (max-width: 800px) {
  #stage { grid-template-columns: minmax(0, 1fr); grid-template-rows: auto;
    grid-template-areas: "photo" "result" "examples"; }
  #history .grid-container { --grid-cols: 4 !important; }
  #variants .grid-container, #batch-gallery .grid-container { --grid-cols: 2 !important; }
}
@media (max-width: 640px) {
  .gradio-container > .main, .gradio-container .fillable { padding: .6rem !important; }
  #masthead { padding-top: .3rem; }
  .classes li { grid-template-columns: 8.5rem 1fr 2.8rem; }
}
@media (prefers-reduced-motion: reduce) {
  * { transition: none !important; animation: none !important; }
}
"""

# Gradio's slider and thumbnails come without a text for screen readers; the labels supply it.
HEAD = """
<meta name="description" content="ChromaGAN: old photographs, in colour.">
<script>
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
})();
</script>
"""

# Saves the file that the server has just made, as a click on a link would.
SAVE_FILE = """(file) => {
  if (!file || !file.url) return;
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name || 'colorized.png';
  document.body.appendChild(link);
  link.click();
  link.remove();
}"""


def theme() -> Any:
    import gradio as gr

    fonts = ["ui-sans-serif", "system-ui", "Segoe UI", "Helvetica", "Arial", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "monospace"]
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=fonts,
        font_mono=mono,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_shadow="none",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        block_label_text_weight="500",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_text_weight="600",
        block_title_padding="0",
        block_border_width="1px",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
    )
