"""Small pieces of HTML, every value escaped: facts, classes, progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from chromagan.demo.networks import Colors
from chromagan.demo.page.visit import Shown, Visit
from chromagan.demo.texts import Say, seconds_text
from chromagan.demo.tone import Tone
from chromagan.images import Note
from chromagan.inference.video.clip import Clip, Extent

if TYPE_CHECKING:
    from chromagan.demo.page.batch_tab import Progress

TOP_CLASSES = 5


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def remarks(notes: Sequence[Note], say: Say) -> str:
    """What the owner should know of a photograph or of its download."""
    return "".join(paragraph(say.note(note)) for note in notes)


def facts(shown: Shown, score: float | None, say: Say) -> str:
    """Time, device, size, network; then what was done to the input, in sentences.

    score: PSNR in dB of the result against a colour original.
    """
    picture, colors = shown.picture, shown.picture.colors
    width, height = picture.size
    pills = [
        say("time", seconds=seconds_text(colors.seconds), device=colors.device),
        say("pixels", width=width, height=height),
        colors.network,
    ]
    notes = [colors.note] if colors.note else []
    if picture.tone is not Tone.GREY:
        notes.append(say(f"note_{picture.tone.value}"))
    lines = remarks(picture.notes, say) + "".join(paragraph(note) for note in notes)
    if score is not None and shown.grey_psnr is not None:
        result, grey = (
            "∞" if math.isinf(value) else f"{value:.1f}" for value in (score, shown.grey_psnr)
        )
        height, width, _ = picture.preview.shape
        line = say("psnr", result=result, grey=grey, width=width, height=height)
        lines += f"<p>{line}</p>"
    return f"<ul>{''.join(f'<li>{escape(pill)}</li>' for pill in pills)}</ul>{lines}"


def classes(colors: Colors, visit: Visit) -> str:
    """The most probable classes as a list; the bars are relative to the first."""
    title = f"<h3>{escape(visit.label('classes'))}</h3>"
    if not colors.classes:
        return title + paragraph(visit.say("no_classes"))
    most = max(colors.classes[0][1], 1e-9)
    rows = "".join(
        f'<li><span>{escape(label)}</span><span class="bar" aria-hidden="true">'
        f'<span style="width:{share / most:.1%}"></span></span>'
        f'<span class="share">{share:.1%}</span></li>'
        for label, share in colors.classes[:TOP_CLASSES]
    )
    return f"{title}<ol>{rows}</ol>"


def batch(progress: Progress, say: Say) -> str:
    """The state of a batch: bar and time left while it runs, a summary at the end."""
    notes: dict[str, list[str]] = {}
    for name, note in progress.remarks:
        notes.setdefault(note, []).append(name)
    lines = "".join(paragraph(f"{', '.join(n)}: {note}") for note, n in notes.items()) + "".join(
        f'<p class="bad">{escape(say("batch_failed", name=name, reason=reason))}</p>'
        for name, reason in progress.failures
    )
    handled, total = progress.handled, progress.total
    if progress.current:
        text = say("coloring", name=progress.current, number=handled + 1, total=total)
        return _bar(text, handled, total, progress.left, say) + lines
    done = len(progress.results)
    if progress.stopped:
        return paragraph(say("batch_stopped", done=done, total=total)) + lines
    seconds = seconds_text(progress.seconds)
    return paragraph(say("batch_done", done=done, total=total, seconds=seconds)) + lines


def video(
    clip: Clip,
    name: str,
    device: str,
    extent: Extent,
    flicker: tuple[float, float] | None,
    say: Say,
) -> str:
    """The state of a clip; at the end what was made of it, and what could not be."""
    if clip.path is None:
        text = say("coloring", name=name, number=clip.frames, total=clip.expected or "?")
        return _bar(text, clip.frames, clip.expected or 0, clip.left, say)
    width, height = clip.size
    size = {"frames": clip.frames, "width": width, "height": height}
    lines = [say("video_done", **size, seconds=seconds_text(clip.seconds), device=device)]
    if clip.truncated:
        lines.append(say("video_long", seconds=extent.seconds))
    if clip.damaged:
        lines.append(say("video_damaged", packets=clip.damaged))
    if clip.broken:
        lines.append(say("video_broken", reason=clip.broken))
    if clip.sound_lost:
        lines.append(say("video_sound_lost", reason=clip.sound_lost))
    if flicker is not None:
        raw, smooth = (f"{value:.2f}" for value in flicker)
        lines.append(say("video_flicker", raw=raw, smooth=smooth))
    return "".join(paragraph(line) for line in lines)


def _bar(text: str, value: int, total: int, left: float | None, say: Say) -> str:
    span = "" if left is None else " · " + say("left", seconds=seconds_text(left))
    label = escape(text + span)
    extent = f'value="{value}" max="{total}"' if total else ""
    return f'<p>{label}</p><progress {extent} aria-label="{label}"></progress>'
