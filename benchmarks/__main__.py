"""Run benchmarks by name, all of them by default: `python -m benchmarks [NAME ...]`."""

import argparse

from benchmarks import accuracy, distributed, inference, loading, player, threads, tracing, training
from benchmarks.measuring import machine
from benchmarks.peers import BATCHERS, PEERS, TRAINERS

NAMES = (
    "accuracy",
    "distributed",
    "inference",
    "loading",
    "player",
    "threads",
    "tracing",
    "training",
)
BESIDE_PEERS = {"inference": inference.main, "loading": loading.main, "training": training.main}


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmarks named on the command line."""
    keys = ",".join(dict.fromkeys(peer.key for peer in (*PEERS, *TRAINERS, *BATCHERS)))
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="of all but accuracy, distributed, player and tracing; the default is 5",
    )
    parser.add_argument("--only", default="", help=f"print some peers: {keys}")
    options = parser.parse_args(arguments)
    only = [key for key in options.only.split(",") if key]
    for what, given, known in (
        ("benchmark", options.names, NAMES),
        ("peer", only, keys.split(",")),
    ):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    print(machine())
    for name in options.names or NAMES:
        print(f"\n{name}")
        if name in BESIDE_PEERS:
            BESIDE_PEERS[name](options.rounds, only)
        elif name == "accuracy":
            accuracy.main()
        elif name == "distributed":
            distributed.main()
        elif name == "threads":
            threads.main(options.rounds)
        else:
            rows = player.main() if name == "player" else tracing.main()
            for what, figure, limit in rows:
                print(f"  {what:<52} {figure:>12}   {limit}")


if __name__ == "__main__":
    main()
