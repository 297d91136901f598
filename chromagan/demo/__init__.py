"""The web page: `app.py` serves what this package builds.

    limits, photos, outputs   what may come in, what it is, what goes out
    networks                  the checkpoints that are present, loaded once, run one at a time
    session, single, batch, video, api
                              what the page and the endpoints do, as plain functions
    texts, style, page        how it reads, looks and is laid out
    guard, server             the HTTP side
    space, load               commands: write the Hugging Face Spaces; measure many visitors

Gradio is imported by `page`, `server`, `api` and the handlers only; nothing else in `chromagan`
imports this package.
"""
