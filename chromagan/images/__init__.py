"""Pictures in and out of files."""

from chromagan.images.finding import expand, find_images, survey
from chromagan.images.kinds import IMAGE_SUFFIXES
from chromagan.images.messages import ImageError, Note
from chromagan.images.metadata.provenance import Provenance, result_of
from chromagan.images.metadata.reading import Metadata
from chromagan.images.reading import DEFAULT_MAX_PIXELS, Photo, image_size, read_image, read_photo
from chromagan.images.writing import WRITABLE_SUFFIXES, write_image

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "ImageError",
    "Metadata",
    "Note",
    "Photo",
    "Provenance",
    "expand",
    "find_images",
    "image_size",
    "read_image",
    "read_photo",
    "result_of",
    "survey",
    "write_image",
]
