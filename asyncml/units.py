"""How numbers and times are written for people to read."""


def figure(value: float, digits: int = 4) -> str:
    """Return a number of so many digits; a larger one in full, and never as a power of ten.

    Example:
        >>> figure(0.1 + 0.2), figure(86_400), figure(1234.5678, 3)
        ('0.3', '86400', '1235')
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def duration(seconds: float, *, tenths: bool = False) -> str:
    """Return a time with three digits, in milliseconds below a second.

    Args:
        seconds: the time.
        tenths: write a second and more with one decimal, however many digits that makes.

    Example:
        >>> duration(0.02), duration(0.9996), duration(1234.5), duration(2, tenths=True)
        ('20 ms', '1 s', '1234 s', '2.0 s')
    """
    if seconds < 0.9995:  # the next would be 1000 ms
        return f"{figure(seconds * 1e3, 3)} ms"
    return f"{seconds:.1f} s" if tenths else f"{figure(seconds, 3)} s"
