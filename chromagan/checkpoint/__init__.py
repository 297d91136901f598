"""Release files: reading and writing them, finding them, describing them, importing others."""
