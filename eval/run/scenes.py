"""What kind of scene every photograph of a run shows, kept in the run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tqdm import tqdm

from chromagan.checkpoint.description import read_release
from chromagan.checkpoint.source import available_checkpoints, find_checkpoint
from chromagan.color import Rgb8, rgb8_to_lab
from chromagan.files import write_text
from chromagan.inference.colorizer import load_colorizer
from eval.measures.quality import squash
from eval.measures.regions import is_skin
from eval.measures.scenes import kind_of, kind_probabilities
from eval.run.folder import ImageScores, RunFolder

FILE = "scenes.json"


class SceneClassifier:
    """The class head of the first checkpoint here that has one, asked once a photograph."""

    def __init__(self, device: str) -> None:
        self.source, self._colorizer = "", None
        for name in available_checkpoints():
            try:
                release = read_release(find_checkpoint(name))
                if release.config.class_head:
                    self._colorizer = load_colorizer(release.path, device=device, precision="fp32")
                    self.source = f"{release.name} {release.sha256}"
                    return
            except ValueError:  # a damaged checkpoint: whoever asks for it is told
                continue

    def __bool__(self) -> bool:
        return self._colorizer is not None

    def kind(self, picture: Rgb8) -> str:
        """uint8 `(H, W, 3)` -> one of `eval.measures.scenes.KINDS`."""
        assert self._colorizer is not None
        probabilities = self._colorizer.predict(picture).probabilities
        assert probabilities is not None
        skin = float(is_skin(rgb8_to_lab(squash(picture, 224))).mean())
        return kind_of(kind_probabilities(probabilities), skin)


def kinds_of(folder: RunFolder, rows: Sequence[ImageScores], device: str) -> list[str]:
    """The kind of every row's photograph; none of them where no checkpoint has a class head."""
    classifier = SceneClassifier(device)
    if not classifier:
        return []
    known = _read(folder, classifier.source)
    new = [row for row in rows if row["sha256"] not in known]
    try:
        for row in tqdm(new, desc="    scenes", unit="image", disable=None if new else True):
            known[row["sha256"]] = classifier.kind(folder.read_truth(row))
    finally:
        content = {"classifier": classifier.source, "kinds": known}
        write_text(folder.path / FILE, json.dumps(content, indent=1, sort_keys=True) + "\n")
    return [known[row["sha256"]] for row in rows]


def _read(folder: RunFolder, source: str) -> dict[str, str]:
    """What the folder knows already, if the same weights said so."""
    try:
        stored = json.loads((folder.path / FILE).read_text(encoding="utf-8"))
        return dict(stored["kinds"]) if stored["classifier"] == source else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
