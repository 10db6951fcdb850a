"""How a number is written for people to read."""


def figure(value: float, digits: int = 4) -> str:
    """Return a number of so many digits; a larger one in full, and never as a power of ten.

    Example:
        >>> figure(0.1 + 0.2), figure(86_400), figure(1234.5678, 3)
        ('0.3', '86400', '1235')
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text
