"""`python -m asyncml`: see whether this machine can run the course; `... lab`: take the course."""

import sys

from asyncml.course.ready import main

if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["lab"]:
            from asyncml.course import lab  # not where Python is too old for it

            sys.exit(lab.main(sys.argv[2:]))
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped: not everything has been checked.")
