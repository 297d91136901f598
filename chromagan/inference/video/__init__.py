"""Clips: decoded, coloured frame by frame, encoded with their own times and their sound.

    clip       the work itself: `colorize_clip`
    frames     a decoded frame -> an upright sRGB picture with square pixels
    packets    what a damaged packet still holds
    sound      audio tracks, copied or re-encoded
    smoothing  steady colours from one frame to the next

Needs PyAV (`pip install "chromagan[video]"`), which brings FFmpeg along; imported when used.
"""
