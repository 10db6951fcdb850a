"""How numbers and durations are formatted for readers."""


def figure(value: float, digits: int = 4) -> str:
    """Format a number to `digits` significant digits, with all its integer digits and no exponent.

    Example:
        >>> figure(0.1 + 0.2), figure(86_400), figure(1234.5678, 3)
        ('0.3', '86400', '1235')
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def duration(seconds: float, *, tenths: bool = False) -> str:
    """Format a duration to three significant digits, in milliseconds below one second.

    Args:
        seconds: the duration.
        tenths: format a second or more with one decimal place, whatever the number of digits.

    Example:
        >>> duration(0.02), duration(0.9996), duration(1234.5), duration(2, tenths=True)
        ('20 ms', '1 s', '1234 s', '2.0 s')
    """
    if seconds < 0.9995:  # from here on it would round to 1000 ms
        return f"{figure(seconds * 1e3, 3)} ms"
    return f"{seconds:.1f} s" if tenths else f"{figure(seconds, 3)} s"
