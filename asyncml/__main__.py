"""`python -m asyncml` checks this machine; `... lab` opens the course; `... serve` serves.

`... --explain CODE` explains the last line of a check; `... wheelhouse FOLDER` downloads everything
that a room without a network needs.
"""

import sys

from asyncml.course.ready import explain, main

if __name__ == "__main__":
    try:
        if sys.argv[1:2] == ["lab"]:
            from asyncml.course import lab  # imported late: Python may be too old for it

            sys.exit(lab.main(sys.argv[2:]))
        if sys.argv[1:2] == ["serve"]:
            from asyncml.course import serve

            sys.exit(serve.main(sys.argv[2:]))
        if sys.argv[1:2] == ["wheelhouse"]:
            from asyncml.course import wheelhouse

            sys.exit(wheelhouse.main(sys.argv[2:]))
        if sys.argv[1:2] == ["--explain"]:
            sys.exit(explain(sys.argv[2:]))
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped: not everything has been checked.")
