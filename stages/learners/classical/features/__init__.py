"""Features of images by family, a file each; see docs/classical.md."""

from stages.learners.classical.features.extract import Extractor

__all__ = ["Extractor"]
