"""Looks: one calm theme, light and dark, from system fonts; nothing is loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return (Path(__file__).with_name("assets") / name).read_text(encoding="utf-8")


def head() -> str:
    """What goes into the page's head: a description and the page's script."""
    description = '<meta name="description" content="ChromaGAN: old photographs, in colour.">'
    return f"{description}\n<script>\n{asset('page.js')}{asset('guides.js')}</script>"


def theme() -> Any:
    import gradio as gr

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
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
    )
