"""Trained models as bundles: reading, checking, importing and writing."""

from COVIDQuantLib.models.bundle import Bundle, read_bundle
from COVIDQuantLib.models.catalogue import DEFAULTS, default_bundle, find_bundle, list_bundles
from COVIDQuantLib.models.metadata import NetworkRecord
from COVIDQuantLib.models.write import TrainedNetwork, write_bundle

__all__ = [
    "DEFAULTS",
    "Bundle",
    "NetworkRecord",
    "TrainedNetwork",
    "default_bundle",
    "find_bundle",
    "list_bundles",
    "read_bundle",
    "write_bundle",
]
