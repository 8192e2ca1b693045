"""When a run of object discovery counts as failed (paper, Section 4.1).

One rule for the training that starts again and for the tables that count failures.
"""

import numpy as np

MAX_STRIPES = 0.9
# Runs of Slot Attention whose pictures show it have 0.48 to 0.63; the others in
# results/ have 0.21 at most, but two healthy ones had 0.32 early on.
MAX_TERRITORIES = 0.4
# Of five good seeds of an earlier tetrominoes_cpu (FG-ARI 0.94 to 0.98) one had 1.9
# times the median of the others; Slot MLP, which does not find the pieces, has 14.
MAX_ERROR_RATIO = 3.0
MIN_SIBLINGS = 2  # One alone may be the odd one.


class NonFiniteLossError(RuntimeError):
    """Training met a loss or a weight that is NaN or infinite."""


def signs_of_failed_discovery(scores, sibling_scores):
    """Looks for masks that follow the place in the image, not what it shows.

    Args:
        scores: Dictionary of an evaluation's scores, with `stripes` and `mse`; an older
            one may lack `territories`.
        sibling_scores: List of the same of runs that differ in nothing but their seed.

    Returns:
        List of sentences that say why the run seems to have failed; empty for a
        healthy one.

    Example:

    >>> siblings = [{"mse": 0.01}, {"mse": 0.01}]
    >>> signs_of_failed_discovery({"stripes": 0.2, "mse": 0.05}, siblings)
    ['The reconstruction error 0.05000 is 5.0 times the median of 2 sibling runs, 0.01000.']
    """  # noqa: E501  The output of an example is one line.
    signs = []
    if scores["stripes"] > MAX_STRIPES:
        signs.append(
            f"{scores['stripes']:.0%} of the masks' variance follows the row or "
            "the column alone: the masks are stripes."
        )
    territories = scores.get("territories", 0.0)
    if territories > MAX_TERRITORIES:
        signs.append(
            "The masks of different images agree (adjusted Rand index "
            f"{territories:.2f}): slots divide the image by place."
        )
    errors = [each["mse"] for each in sibling_scores]
    if len(errors) >= MIN_SIBLINGS and scores["mse"] > MAX_ERROR_RATIO * np.median(
        errors
    ):
        signs.append(
            f"The reconstruction error {scores['mse']:.5f} is "
            f"{scores['mse'] / np.median(errors):.1f} times the median of "
            f"{len(errors)} sibling runs, {np.median(errors):.5f}."
        )
    return signs
