"""Run benchmarks by name, all of them by default: `python -m benchmarks [NAME ...]`."""

import sys

from benchmarks import accuracy, imports, items, tracing
from benchmarks.measuring import machine

NAMES = {
    "accuracy": accuracy.main,
    "imports": imports.main,
    "items": items.main,
    "tracing": tracing.main,
}


def main() -> None:
    names = sys.argv[1:] or list(NAMES)
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    print(machine())
    for name in names:
        print(f"\n{name}")
        for what, figure, limit in NAMES[name]():
            print(f"  {what:<52} {figure:>12}   {limit}")


if __name__ == "__main__":
    main()
