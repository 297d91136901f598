"""Hugging Face Spaces of the demo and the survey: `python -m chromagan.demo.space -o space`."""
