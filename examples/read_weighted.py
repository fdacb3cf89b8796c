"""Weighted files in Python, with nothing but PyArrow: share kept and mean losses, of each file and of all.

    python examples/read_weighted.py RUN
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc


def tokens(path: Path) -> pa.Table:
    """One row a token: the lists of a file's rows, joined. NaN stands where a token is no target."""
    with pa.OSFile(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
    names = ["input_ids", "reference_loss", "current_loss", "weight"]
    return pa.table({name: pc.list_flatten(table[name]) for name in names if name in table.column_names})


def describe(name: str, table: pa.Table) -> None:
    targets = table.filter(pc.invert(pc.is_nan(table["reference_loss"])))
    kept = targets.filter(pc.greater(targets["weight"], 0))
    share = len(kept) / max(1, len(targets))
    losses = ", ".join(
        f"{column} {pc.mean(kept[column]).as_py():.3f} of the kept, {pc.mean(targets[column]).as_py():.3f} of all"
        for column in ("reference_loss", "current_loss")
        if column in table.column_names
    )
    print(f"{name}: {len(kept)} of {len(targets)} targets kept ({share:.1%}); {losses}")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("read_weighted.py RUN")
    folder = Path(sys.argv[1]) / "weighted"
    files = sorted(path for path in folder.rglob("*.arrow") if not path.name.endswith(".documents.arrow"))
    if not files:
        sys.exit(f"{folder}: no weighted files; run tokensieve select first")
    tables = {str(path.relative_to(folder)): tokens(path) for path in files}
    for name, table in tables.items():
        describe(name, table)
    describe("all", pa.concat_tables(tables.values()))


if __name__ == "__main__":
    main()
