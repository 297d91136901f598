"""Training data: photographs from folders and tar shards, cropped into batches."""

from chromagan.training.data.batches import Batch, Batches
from chromagan.training.data.photos import DataError, PhotoSet

__all__ = ["Batch", "Batches", "DataError", "PhotoSet"]
