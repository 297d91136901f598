"""The page as a whole: masthead, tabs, endpoints."""

from __future__ import annotations

import os
from typing import Any

import gradio as gr

from chromagan.demo.limits import CHECK_SECONDS, Limits, Workers
from chromagan.demo.networks import Networks
from chromagan.demo.page import theme
from chromagan.demo.page.batch_tab import BatchTab
from chromagan.demo.page.endpoints import Endpoints
from chromagan.demo.page.parts import UNDOCUMENTED, Site
from chromagan.demo.page.photo_parts import PhotoParts
from chromagan.demo.page.photo_tab import PhotoTab
from chromagan.demo.page.shown import opening
from chromagan.demo.page.video_tab import VideoTab
from chromagan.demo.pictures.photo import Studio
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
                parts = PhotoParts.build(site, files)
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
        blocks.load(*photo_tab.greeting, queue=False, show_progress="hidden", **UNDOCUMENTED)
    looks = {"theme": theme.theme(), "css": theme.asset("page.css"), "head": theme.head()}
    return blocks, {**looks, "i18n": texts}
