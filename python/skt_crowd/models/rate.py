"""Channel preservation rates: parsing, widths of layers, and labels."""

import math
from fractions import Fraction

from skt_crowd.errors import UsageError


def parse_rate(rate: float | str) -> float:
    """The channel preservation rate as a number in (0, 1].

    A string may be a decimal or a fraction, because one third has no exact decimal.

    Raises:
        UsageError: not a number, or outside (0, 1].

    Example:
        >>> parse_rate("1/4"), parse_rate("0.5"), parse_rate(1)
        (0.25, 0.5, 1.0)
    """
    try:
        if isinstance(rate, bool):
            raise ValueError
        value = float(Fraction(rate.strip())) if isinstance(rate, str) else float(rate)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError):
        raise UsageError(
            f"channel_preservation_rate: expected a number or a fraction such as '1/4', got {rate!r}"
        ) from None
    if not (math.isfinite(value) and 0.0 < value <= 1.0):
        raise UsageError(f"channel_preservation_rate: expected more than 0 and at most 1, got {rate!r}")
    return value


def rate_label(rate: float) -> str:
    """The simplest fraction equal to ``rate`` as float64, else the decimal.

    Example:
        >>> rate_label(1 / 3), rate_label(0.25), rate_label(0.123456)
        ('1/3', '1/4', '0.123456')
    """
    fraction = Fraction(rate).limit_denominator(64)
    return str(fraction) if float(fraction) == rate else repr(rate)


def scaled_width(width: int, rate: float) -> int:
    """``round(width * rate)``, at least one channel; gives the parameter counts of the paper's Table 2.

    Example:
        >>> [scaled_width(width, 1 / 3) for width in (64, 128, 256, 512)]
        [21, 43, 85, 171]
    """
    return max(1, round(width * rate))
