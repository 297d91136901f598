"""Clips: decoded, coloured frame by frame, encoded with their own times and their sound.

    clip       the work itself: `colorize_clip`
    frames     decoded as far as they go -> upright sRGB pictures with square pixels
    sound      audio tracks, copied or re-encoded
    smoothing  steady colours from one frame to the next

Needs PyAV (`pip install "chromagan[video]"`), which brings FFmpeg along; imported when used.
"""
