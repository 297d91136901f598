"""From a photograph to a photograph in colour."""
