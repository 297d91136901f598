"""Training data: photographs from folders and tar shards, cropped into batches."""

from chromagan.data.batches import Batches
from chromagan.data.photos import DataError, PhotoSet

__all__ = ["Batches", "DataError", "PhotoSet"]
