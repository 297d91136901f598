"""The perceptual realism survey: build stimuli, serve the study, read its answers."""
