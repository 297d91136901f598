"""Pictures in and out of files."""

from chromagan.images.files import (
    DEFAULT_MAX_PIXELS,
    IMAGE_SUFFIXES,
    WRITABLE_SUFFIXES,
    ImageError,
    find_images,
    image_size,
    read_image,
    write_image,
)

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ImageError",
    "find_images",
    "image_size",
    "read_image",
    "write_image",
]
