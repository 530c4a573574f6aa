"""White cells found by any way that has a name: a network, or a method of thresholding."""

from segmentation.finders.by_name import check_finder, make_finder
from segmentation.finders.network import NETWORK, NetworkParameters, weight_file

__all__ = ["NETWORK", "NetworkParameters", "check_finder", "make_finder", "weight_file"]
