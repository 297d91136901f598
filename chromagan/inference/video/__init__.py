"""Clips: decoded, coloured frame by frame, encoded with their own times and their sound.

Needs PyAV (`pip install "chromagan[video]"`), which brings FFmpeg along; imported when used.
"""
