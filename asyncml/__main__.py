"""`python -m asyncml`: see whether this machine can run the course."""

import sys

from asyncml.course.ready import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped: not everything has been checked.")
