"""The web page: `app.py` serves what this package builds.

    limits, networks  what may come in; the checkpoints that are present, run one at a time
    studio, tone      one photograph, from the uploaded file to colours; what it is judged to be
    results, folders  from colours to the marked file; whose file is whose, and when it is deleted
    page/             what visitors see and do: layout, tabs, endpoints
    texts/            every sentence of the page
    guard, server     the HTTP side
    space/, load      commands: write the Hugging Face Spaces; measure many visitors

Gradio is imported by `page` and `server` only; nothing else in `chromagan` imports this package.
"""
