"""Small pieces of HTML, every value escaped: facts, classes, progress."""

from __future__ import annotations

import math
from html import escape

from chromagan.demo.batch import Progress
from chromagan.demo.networks import Colours
from chromagan.demo.photos import Tone
from chromagan.demo.pictures import Agreement, Picture
from chromagan.demo.texts import Messages, seconds_text
from chromagan.demo.video import Clip

TOP_CLASSES = 5


def facts(picture: Picture, score: Agreement | None, messages: Messages) -> str:
    """Time, device, size, network; then what was done to the input, in sentences."""
    colours = picture.colours
    width, height = picture.size
    pills = [
        messages.time.format(seconds=seconds_text(colours.seconds), device=colours.device),
        messages.pixels.format(width=width, height=height),
        colours.network,
    ]
    lines = [
        note
        for note, applies in (
            (messages.note_colour, picture.tone is Tone.COLOUR),
            (messages.note_toned, picture.tone is Tone.TONED),
            (messages.note_animated, picture.animated),
        )
        if applies
    ]
    if score is not None:
        lines.append(psnr_line(score, messages))
    items = "".join(f"<li>{escape(pill)}</li>" for pill in pills)
    return f"<ul>{items}</ul>" + "".join(f"<p>{line}</p>" for line in lines)


def psnr_line(score: Agreement, messages: Messages) -> str:
    width, height = score.size
    return messages.psnr.format(
        result=_db(score.result), grey=_db(score.grey), width=width, height=height
    )


def _db(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.1f}"


def classes(colours: Colours, title: str, messages: Messages) -> str:
    """The most probable classes as a list; the bars are relative to the first."""
    if not colours.classes:
        return f"<h3>{escape(title)}</h3><p>{escape(messages.no_classes)}</p>"
    most = max(colours.classes[0][1], 1e-9)
    rows = "".join(
        f'<li><span>{escape(label)}</span><span class="bar" aria-hidden="true">'
        f'<span style="width:{share / most:.1%}"></span></span>'
        f'<span class="share">{share:.1%}</span></li>'
        for label, share in colours.classes[:TOP_CLASSES]
    )
    return f"<h3>{escape(title)}</h3><ol>{rows}</ol>"


def batch(progress: Progress, messages: Messages) -> str:
    """The state of a batch: bar and time left while it runs, a summary at the end."""
    failures = "".join(
        f'<p class="bad">{escape(messages.batch_failed.format(name=name, reason=reason))}</p>'
        for name, reason in progress.failures
    )
    if progress.current:
        text = messages.colouring.format(
            name=progress.current, number=progress.handled + 1, total=progress.total
        )
        return _bar(text, progress.handled, progress.total, progress.left, messages) + failures
    done = len(progress.results)
    seconds = seconds_text(progress.seconds)
    if progress.stopped:
        text = messages.batch_stopped.format(done=done, total=progress.total)
    else:
        text = messages.batch_done.format(done=done, total=progress.total, seconds=seconds)
    return f"<p>{escape(text)}</p>{failures}"


def video(clip: Clip, name: str, device: str, limit: float, messages: Messages) -> str:
    width, height = clip.size
    if clip.path is None:
        text = messages.colouring.format(name=name, number=clip.frames, total=clip.expected or "?")
        return _bar(text, clip.frames, clip.expected or 0, clip.left, messages)
    lines = [
        messages.video_done.format(
            frames=clip.frames,
            width=width,
            height=height,
            seconds=seconds_text(clip.seconds),
            device=device,
        )
    ]
    if clip.truncated:
        lines.append(messages.video_long.format(seconds=limit))
    if clip.raw_flicker is not None and clip.flicker is not None:
        lines.append(
            messages.video_flicker.format(
                raw=f"{clip.raw_flicker:.2f}", smooth=f"{clip.flicker:.2f}"
            )
        )
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _bar(text: str, value: int, total: int, left: float | None, messages: Messages) -> str:
    span = "" if left is None else " · " + messages.left.format(seconds=seconds_text(left))
    label = escape(text + span)
    extent = f'value="{value}" max="{total}"' if total else ""
    return f'<p>{label}</p><progress {extent} aria-label="{label}"></progress>'
