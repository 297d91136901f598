"""The named endpoints: what a program can ask for, with types and docstrings that the API page,
`gradio_client` and MCP show as they are."""

from __future__ import annotations

from typing import Any

import gradio as gr

from chromagan.demo.handlers import Handlers, messages_of, spoken
from chromagan.demo.pictures import Look, colorize, full_result


class Endpoints:
    """Stateless: each call reads one uploaded file and leaves one result."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._networks = handlers.networks
        self._limits = handlers.limits

    def colorize(
        self,
        image: str,
        saturation: float = 1.0,
        temperature: float = 0.0,
        network: str | None = None,
        visible_mark: bool = False,
        request: gr.Request | None = None,
    ) -> str:
        """Colorize one photograph.

        Args:
            image: the photograph, as a file: any common format, grey or colour (turned grey).
            saturation: 0 (grey) to 2; 1 is what the network predicts.
            temperature: -20 (cooler) to 20 (warmer), CIE b units.
            network: one of the names that /networks returns; empty for the default.
            visible_mark: print a small "AI-colorized" into the picture.

        Returns:
            A lossless PNG of the same size, marked as AI-colorized in its metadata.
        """
        messages = messages_of(request)
        with spoken(request):
            if not image:
                raise gr.Error(messages.no_photo, print_exception=False)
            look = Look(saturation, temperature, visible_mark)
            chosen = self._handlers.known(network, messages)
            picture = colorize(image, self._networks, self._limits, chosen)
            return full_result(picture, look, self._limits)

    def classes(
        self, image: str, network: str | None = None, request: gr.Request | None = None
    ) -> list[dict[str, Any]]:
        """The object classes that the network saw in a photograph.

        Args:
            image: the photograph, as a file.
            network: one of the names that /networks returns; empty for the default.

        Returns:
            The five most probable: [{"label": "lighthouse", "probability": 0.81}, …]; empty if the
            checkpoint has no class head.
        """
        messages = messages_of(request)
        with spoken(request):
            if not image:
                raise gr.Error(messages.no_photo, print_exception=False)
            chosen = self._handlers.known(network, messages)
            picture = colorize(image, self._networks, self._limits, chosen)
            found = picture.colours.classes[:5]
            return [{"label": label, "probability": round(share, 4)} for label, share in found]

    def networks(self) -> list[str]:
        """The names of the networks that this server has; the first is the default."""
        return self._networks.names
