"""Training data: photographs from folders and tar shards, cropped into batches."""

from chromagan.training.data.batches import Batches
from chromagan.training.data.photos import DataError, PhotoSet

__all__ = ["Batches", "DataError", "PhotoSet"]
