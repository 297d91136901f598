"""The web page: `app.py` serves what this package builds.

    limits, networks  what may come in; the checkpoints that are present, run one at a time
    pictures/         one photograph or many, from the uploaded file to the marked PNG
    visitors/         whose file is whose, and when it is deleted
    page/             what visitors see and do: layout, tabs, texts, endpoints
    guard, server     the HTTP side
    space/, load      commands: write the Hugging Face Spaces; measure many visitors

Gradio is imported by `page` and `server` only; nothing else in `chromagan` imports this package.
"""
