"""What stands in a Space's README.md, and the survey's app.py there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PYTHON_VERSION = "3.12"  # ZeroGPU offers 3.10.13 and 3.12.12

_DEMO_FRONT = """\
---
title: ChromaGAN
emoji: 🎨
colorFrom: gray
colorTo: green
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
short_description: Old photographs in colour, with a sense of what they show
license: mit
tags:
- image-colorization
- image-to-image
{hub}---
"""

_DEMO_BODY = """
# ChromaGAN

Drop an old photograph, see it in colour, compare, adjust, download at full resolution. The
colours are plausible, not true.

- Runs unchanged on ZeroGPU, on a CPU Space and at home (`pip install -r requirements.txt gradio`,
  then `python app.py`).
- Weights: {weights}.
- Uploads and results lie in a temporary folder under random names and are deleted within the
  hour; nothing is published, logged or used for training.
- On a CPU Space, `--extra-index-url https://download.pytorch.org/whl/cpu` as the first line of
  requirements.txt makes the build smaller. On ZeroGPU leave it out.
- The photographs under `chromagan/samples` are credited in its `CREDITS.csv`.
"""

_STUDY_FRONT = """\
---
title: Realistic or not?
emoji: 👀
colorFrom: gray
colorTo: blue
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
short_description: A survey on how realistic colorized photographs look
license: mit
---
"""

_STUDY_BODY = """
# A perceptual realism survey

Participants see one photograph at a time and say whether it looks realistic. This Space runs the
bundled demo study; read these three warnings before you run a real one here.

1. **A Space's disk vanishes** at every restart, rebuild and sleep, and the database with it. Set
   the secret `STUDY_DATABASE_URL` to a PostgreSQL server, or `STUDY_VOTE_LOG` to a second place
   for every vote (`hf://datasets/<you>/<private dataset>`, with the secret `HF_TOKEN`). Never put
   the SQLite file on a mounted bucket: several writers corrupt it.
2. **A public Space shows its repository**: everybody can read the stimuli and their manifest, and
   so tell which picture is which. For a blind study make the Space private or protected, or keep
   the stimuli in a private dataset and let only the study read them.
3. **Inside huggingface.co the page runs in a frame** where browsers may block cookies. Give
   participants the direct address `https://<you>-<space>.hf.space`.

Secrets and variables: `STUDY_SECRET` (signs the tokens; set it, or restarts end open sessions),
`STUDY_ADMIN_TOKEN` (turns on /admin), `STUDY_CONFIG` (path of your study.yaml in this repository),
`STUDY_DATABASE_URL`, `STUDY_VOTE_LOG`.
"""

STUDY_APP = '''\
"""The survey on a Space: settings come from the Space's variables and secrets."""

import os

from study.serve import main

OPTIONS = {
    "STUDY_CONFIG": "--config",
    "STUDY_DATABASE_URL": "--database-url",
    "STUDY_VOTE_LOG": "--vote-log",
}

if __name__ == "__main__":
    arguments = [
        part for name, flag in OPTIONS.items() if (value := os.environ.get(name))
        for part in (flag, value)
    ]
    raise SystemExit(main(arguments))
'''


def demo_readme(gradio: str, checkpoints: Sequence[str], hub_id: str | None) -> str:
    repository = hub_id.partition("@")[0] if hub_id else None
    hub = ""
    if repository:
        hub = f"models:\n- {repository}\npreload_from_hub:\n- {repository} model.safetensors\n"
    weights = f"bundled ({', '.join(checkpoints)})" if checkpoints else f"{hub_id} on the Hub"
    front = _DEMO_FRONT.format(gradio=gradio, python=PYTHON_VERSION, hub=hub)
    return front + _DEMO_BODY.format(weights=weights)


def study_readme(gradio: str) -> str:
    return _STUDY_FRONT.format(gradio=gradio, python=PYTHON_VERSION) + _STUDY_BODY


def push_hint(output: Path) -> str:
    return (
        f"To publish: hf repos create <you>/chromagan --type space --space-sdk gradio, then\n"
        f"  hf upload <you>/chromagan {output} . --type space"
    )
