"""The page as a whole: masthead, tabs, endpoints, and its looks.

One calm theme, light and dark, from system fonts; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import os
from typing import Any

import gradio as gr

from chromagan.demo.limits import CHECK_SECONDS, Limits, Workers
from chromagan.demo.networks import Networks
from chromagan.demo.page.batch_tab import BatchTab
from chromagan.demo.page.endpoints import Endpoints
from chromagan.demo.page.parts import QUIET, UNDOCUMENTED, Site, asset
from chromagan.demo.page.photo_parts import PhotoParts, opening
from chromagan.demo.page.photo_tab import PhotoTab
from chromagan.demo.page.video_tab import VideoTab
from chromagan.demo.studio import Studio
from chromagan.demo.texts import LANGUAGES, labels
from chromagan.inference.video.clip import available


def build_page(networks: Networks, limits: Limits, workers: Workers) -> tuple[Any, dict[str, Any]]:
    """The `gr.Blocks`, and what its `launch` needs to look right."""
    texts: Any = gr.I18n(**{language: labels(language, limits) for language in LANGUAGES})
    site = Site(Studio(networks, limits), workers, texts)
    # on ZeroGPU a GPU is lent to visitors' requests only
    first, files = (None, None) if os.environ.get("SPACES_ZERO_GPU") else opening(site.studio)
    # Gradio deletes what was uploaded; `server` sweeps what the handlers wrote
    age = (CHECK_SECONDS, limits.delete_at_seconds)
    with gr.Blocks(
        title="ChromaGAN", analytics_enabled=False, delete_cache=age, fill_width=False
    ) as blocks:
        with gr.Column(elem_id="masthead"):
            gr.Markdown(texts("masthead"), elem_id="title")
            gr.Markdown(texts("honest"), elem_id="honest")
        with gr.Tabs() as tabs:
            with gr.Tab(texts("tab_photo"), id="photo"):
                parts = PhotoParts(site, files)
                photo_tab = PhotoTab(site, parts, first)
            with gr.Tab(texts("tab_batch"), id="batch"):
                BatchTab(site, parts.controls)
            with gr.Tab(texts("tab_video"), id="video"):
                if available():
                    VideoTab(site, photo_tab, tabs)
                else:
                    gr.Markdown(texts("video_missing"))
            with gr.Tab(texts("tab_about"), id="about"):
                gr.Markdown(texts("about"), elem_id="about")
        gr.Markdown(texts("privacy"), elem_id="privacy")
        Endpoints(site)
        greeted = [parts.facts, *parts.around, *parts.renewed]
        blocks.load(photo_tab.greet, None, greeted, queue=False, **QUIET, **UNDOCUMENTED)
    looks = {"theme": theme(), "css": asset("page.css"), "head": head(), "i18n": texts}
    return blocks, looks


def head() -> str:
    """What goes into the page's head: a description and the page's script."""
    description = '<meta name="description" content="ChromaGAN: old photographs, in colour.">'
    return f"{description}\n<script>\n{asset('page.js')}{asset('guides.js')}</script>"


def theme() -> Any:
    sans = ["ui-sans-serif", "system-ui", "Segoe UI", "Helvetica", "Arial", "sans-serif"]
    mono = ["ui-monospace", "Menlo", "Consolas", "monospace"]
    return gr.themes.Soft(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.amber,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=sans,
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
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
    )
