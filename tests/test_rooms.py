"""Imports between rooms and between files point one way, without cycles."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import asyncml

HOUSE = Path(asyncml.__file__).parent
GROUND = {path.stem for path in HOUSE.glob("*.py")} - {"__init__", "__main__", "exercises"}
# room -> the rooms whose code it may use, besides the ground; in brackets, for types only
MAY_USE = {
    "clock": "",
    "timeline": "clock",
    "pipeline": "clock",
    "stores": "",
    "images": "stores pipeline",
    "network": "",
    "training": "network (pipeline)",
    "serving": "(network)",
    "distributed": "network training",
    "course": "clock timeline pipeline stores images network training serving distributed",
}


def files():
    return sorted(
        path for path in HOUSE.rglob("*.py") if path.parent != HOUSE or path.stem in GROUND
    )


def name_of(path):
    parts = ["asyncml", *path.relative_to(HOUSE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in files()}


@cache
def imports(path):
    """Return (our module, whether it is only for type checkers) for each import in a file."""
    return [*_imports(path)]


def _imports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in NAMES else node.module for name in inner]
        else:
            continue
        for name in found:
            if name == "asyncml" or name.startswith("asyncml."):
                yield name, id(node) in for_types


def room_of(name):
    room = name.split(".")[1] if "." in name else ""
    return "ground" if room in GROUND else room


def complaint(here, there, for_types):
    """Return what is wrong with an import between rooms, if anything."""
    here, there = room_of(here), room_of(there)
    if here == there or there == "ground":
        return None
    allowed = MAY_USE.get(here, "").split()
    if there in allowed or (for_types and f"({there})" in allowed):
        return None
    return f"{here} must not use {there or 'all of asyncml'}"


def complaints(name):
    wrong = [complaint(name, used, for_types) for used, for_types in imports(NAMES[name])]
    if name.startswith("asyncml.course"):  # lessons import what their readers import
        wrong = [it for it in wrong if it != "course must not use all of asyncml"]
    return [it for it in wrong if it]


def test_a_room_uses_only_the_rooms_below_it():
    assert {name: found for name in NAMES if (found := complaints(name))} == {}


def test_no_file_is_in_a_circle_not_even_for_type_checkers():
    arrows = {name: {used for used, _ in imports(path)} for name, path in NAMES.items()}
    # a door imports its files, so they must not import it
    own = {name: {used for used in found if used in NAMES} for name, found in arrows.items()}
    list(TopologicalSorter(own).static_order())  # CycleError names the files


def test_every_room_is_in_the_plan_and_has_a_door_that_names_its_files():
    rooms = {path.parent for path in HOUSE.glob("*/__init__.py")}
    assert {room.name for room in rooms} == {*MAY_USE}
    for room in rooms:
        source = (room / "__init__.py").read_text(encoding="utf-8")
        door = ast.get_docstring(ast.parse(source), clean=False)
        listed = {line.split()[0] for line in door.splitlines() if line.startswith("    ")}
        inside = {path.stem for path in room.glob("*.py")} | {
            path.parent.name for path in room.glob("*/__init__.py")
        }
        assert listed == inside - {"__init__"}, room.name


def test_the_checks_see_what_is_wrong():
    assert complaint("asyncml.network.layers", "asyncml.clock.loop", False)
    assert complaint("asyncml.training.fit", "asyncml.pipeline.pipeline", False)
    assert not complaint("asyncml.training.fit", "asyncml.pipeline.pipeline", True)
    assert complaint("asyncml.checks", "asyncml.clock", False)
    assert complaint("asyncml.stores.memory", "asyncml", False)
