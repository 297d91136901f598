"""The named endpoints: what a program can ask for, with types and docstrings that the API page,
`gradio_client` and MCP show as they are."""

from __future__ import annotations

import json
from typing import Any, Literal

import gradio as gr

from chromagan.demo.page.parts import Site, photo_input
from chromagan.demo.page.visit import Visit
from chromagan.demo.results import WARMEST, Form, Look
from chromagan.demo.studio import Guided, Picture, Upload
from chromagan.inference.guides import Guides, parse_guides


class Endpoints:
    """Stateless: each call reads one uploaded file and leaves one result."""

    def __init__(self, site: Site) -> None:
        self._site = site
        with gr.Group(visible=False):
            image = photo_input(label="image")
            saturation = gr.Slider(0, 2, 1, label="saturation")
            temperature = gr.Slider(-WARMEST, WARMEST, 0, label="temperature")
            network = gr.Textbox(label="network")
            mark = gr.Checkbox(label="visible_mark")
            guides = gr.JSON(label="guides")
            reference = photo_input(label="reference")
            kind = gr.Radio(["png", "jpeg", "tiff"], value="png", label="file_format")
            keep = gr.Checkbox(label="keep_metadata")
            result = gr.Image(label="result", type="filepath", format="png")
            data = gr.JSON(label="data")
            button = gr.Button()
        lane: dict[str, Any] = {
            "concurrency_id": "photo",
            "concurrency_limit": site.workers.photo,
        }
        button.click(
            self.colorize,
            [image, saturation, temperature, network, mark, guides, reference, kind, keep],
            result,
            api_name="colorize",
            **lane,
        )
        button.click(self.classes, [image, network], data, api_name="classes", **lane)
        button.click(self.networks, None, data, api_name="networks", queue=False)

    def colorize(
        self,
        image: Upload,
        saturation: float = 1.0,
        temperature: float = 0.0,
        network: str | None = None,
        visible_mark: bool = False,
        guides: Any = None,
        reference: Upload | None = None,
        file_format: Literal["png", "jpeg", "tiff"] = "png",
        keep_metadata: bool = False,
        request: gr.Request | None = None,
    ) -> str:
        """Colorize one photograph.

        Args:
            image: the photograph, as a file: any common format, grey or colour (turned grey).
            saturation: 0 (grey) to 2; 1 is what the network predicts.
            temperature: -20 (cooler) to 20 (warmer), CIE b units.
            network: one of the names that /networks returns; empty for the default.
            visible_mark: print a small "AI-colorized" into the picture.
            guides: the contents of a guides file: {"format": "chromagan-guides", "version": 1,
                "points": [{"x": 0.41, "y": 0.63, "color": "#a8323c"}]}, x and y in [0, 1].
            reference: a photograph in colour of alike things, as a file: its colours are taken
                over.
            file_format: png, jpeg, or tiff, which has 16 bits where the photograph has them.
            keep_metadata: its own EXIF, IPTC and XMP as well. Its Content Credentials never are
                in the result.

        Returns:
            The picture in the same size, marked as AI-colorized in its metadata. What was lost on
            the way stands in its XMP, as chromagan:Notes.
        """
        visit = Visit(request)
        with visit.spoken(image.name if image else ""):
            look = Look(saturation, temperature, visible_mark)
            text = guides if isinstance(guides, str) else json.dumps(guides)
            known = parse_guides(text) if guides else Guides()
            studio = self._site.studio
            guided = Guided.of(self._picture(image, network, visit))
            if (known or reference) and not guided.able:
                raise visit.error("guide_unable")
            guided = guided.with_guides(known)
            if reference:
                guided = guided.with_reference(studio.reference(reference), studio)
            return studio.full_result(guided, look, Form(file_format, keep_metadata)).path

    def classes(
        self, image: Upload, network: str | None = None, request: gr.Request | None = None
    ) -> list[dict[str, Any]]:
        """The object classes that the network saw in a photograph.

        Args:
            image: the photograph, as a file.
            network: one of the names that /networks returns; empty for the default.

        Returns:
            The five most probable: [{"label": "lighthouse", "probability": 0.81}, …]; empty if the
            checkpoint has no class head.
        """
        visit = Visit(request)
        with visit.spoken(image.name if image else ""):
            found = self._picture(image, network, visit).colors.classes[:5]
            return [{"label": label, "probability": round(share, 4)} for label, share in found]

    def networks(self) -> list[str]:
        """The names of the networks that this server has; the first is the default."""
        return self._site.networks.names

    def _picture(self, image: Upload | None, network: str | None, visit: Visit) -> Picture:
        if not image:
            raise visit.error("no_photo")
        return self._site.studio.colorize(image, self._site.known(network, visit))
