"""A comparison of a chain with itself, found by the backbones that the last stages began from, and said first."""

from __future__ import annotations

__all__ = ["began_alike", "empty_comparison"]


def began_alike(one: str | None, other: str | None) -> bool:
    """Say whether two last stages began from the same backbone, by its fingerprints; what has none is like nothing."""
    return one == other is not None


def empty_comparison(first: str, second: str, found: int = 1, pairs: int = 1) -> str | None:
    """Return the sentence about two chains whose last stages began alike, or None where they never did.

    Args:
        first: A chain, such as `"1,2,3"`.
        second: Another.
        found: Pairs of runs whose backbones were the same at the start of the last stage, bit for bit.
        pairs: Of runs that are compared.

    Examples:
        >>> empty_comparison("1,2,3", "1,3", found=2, pairs=10)
        'In 2 of 10 splits 1,2,3 and 1,3 are the same chain: their last stages began from the same backbone, bit for bit; let the stages between learn'
        >>> empty_comparison("1,2,3", "1,3", found=0)
    """
    if not found:
        return None
    where = (
        f"In {found} of {pairs} splits {first} and {second} are"
        if found < pairs
        else f"{first} and {second} are"
    )
    return f"{where} the same chain: their last stages began from the same backbone, bit for bit; let the stages between learn"
