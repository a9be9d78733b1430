"""Lake files searched and written anew, beside reading all and writing all, in one run: `python -m bench.lake`.

`--scale 1` makes a Parquet file of 1,000,000 rows and 12 columns in 20 row groups, and one of JSON Lines under gzip of
300,000 records; 100 people are taken out. "Read all" is what scripts do, with the same libraries: pyarrow reads the
table, filters it and writes it; Python reads every line, and keeps it or not. It checks nothing and keeps no more than
it must. Each runs in a process of its own. Told are its seconds of CPU, whatever else the machine does, and its peak
memory beyond what an idle one has. Ours searches (as Locate does) and then writes: it goes through the file twice.

The last lines write four times the rows, in row groups of the same size: memory must not grow with them, or the run
fails.
"""

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.lake.identity import Rule, Wanted
from connectors.lake.search import Format, Search

GROUPS = 20
PEOPLE = 100
_MOST = 1.5
"""Times the memory that four times the rows may take; allocators give back late."""


def ids(spread: str, rows: int) -> list[int]:
    """People whose rows stand everywhere, or side by side."""
    if spread == "clustered":
        return list(range(rows // 2, rows // 2 + PEOPLE))
    return sorted(random.Random(4711).sample(range(rows), PEOPLE))


def make_parquet(path: Path, rows: int, groups: int) -> None:
    """12 columns, one of which names people; written group by group."""
    size, chance, writer = rows // groups, random.Random(1), None
    words = [f"{chance.getrandbits(64):016x}" for _ in range(10_000)]
    for start in range(0, size * groups, size):
        columns: dict[str, pa.Array] = {"customer": pa.array(range(start, start + size), pa.int64())}
        for number in range(5):
            columns[f"number{number}"] = pa.array([chance.random() for _ in range(size)])
        for number in range(6):
            columns[f"text{number}"] = pa.array(chance.choices(words, k=size))
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=size)
    if writer is not None:
        writer.close()


def make_jsonl(path: Path, rows: int, _: int) -> None:
    """About 170 bytes a record."""
    chance = random.Random(2)
    with gzip.open(path, "wb", compresslevel=6) as file:
        for number in range(rows):
            user = {"id": number, "email": f"person{number}@example.com"}
            record = {"user": user, "at": number, "what": "visit", "page": f"{chance.getrandbits(256):064x}"}
            file.write(json.dumps(record).encode() + b"\n")


def ours(form: Format, path: Path, out: Path, people: list[int]) -> int:
    """Finds the records, as Locate does, then writes the file without them."""
    rule = Rule("customer", (("customer",) if form == "parquet" else ("user", "id"),), "number")
    search = Search(form, Wanted([rule], [[("customer", str(person))] for person in people]))
    with path.open("rb") as source:
        found = sum(1 for _ in search.scan(source))
    with path.open("rb") as source, out.open("wb") as sink:
        search.rewrite(source, sink.write, lambda hit: True)
    return found


def read_all_parquet(path: Path, out: Path, people: list[int]) -> int:
    """With the row groups of the original, in its codec."""
    table = pq.read_table(path)
    gone = pc.is_in(table["customer"], value_set=pa.array(people, pa.int64()))
    pq.write_table(table.filter(pc.invert(gone)), out, row_group_size=table.num_rows // GROUPS)
    return int(pc.sum(gone).as_py())


def read_all_jsonl(path: Path, out: Path, people: list[int]) -> int:
    """Line by line, which is kinder to memory than reading the table at once."""
    wanted, found = set(people), 0
    with gzip.open(path, "rb") as source, gzip.open(out, "wb", compresslevel=6) as sink:
        for line in source:
            if json.loads(line)["user"]["id"] in wanted:
                found += 1
            else:
                sink.write(line)
    return found


WAYS: Mapping[str, Callable[[Path, Path, list[int]], int]] = {
    "ours parquet": lambda path, out, people: ours("parquet", path, out, people),
    "ours jsonl": lambda path, out, people: ours("jsonl", path, out, people),
    "read all parquet": read_all_parquet,
    "read all jsonl": read_all_jsonl,
    "idle": lambda path, out, people: len(people),
}


def child(way: str, path: Path, out: Path, spread: str, rows: int) -> None:
    """One measurement, as a line of JSON."""
    people, start = ids(spread, rows), time.process_time()
    found = WAYS[way](path, out, people)
    seconds = time.process_time() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    # In KiB, but in bytes on macOS.
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(json.dumps({"found": found, "cpu": seconds, "peak": peak}))


def measure(way: str, path: Path, spread: str, rows: int) -> dict[str, float]:
    """In a process of its own. What it wrote is gone afterwards."""
    out = path.with_suffix(".out")
    command = [sys.executable, "-m", "bench.lake", "--child", way, str(path), str(out), spread, str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    out.unlink(missing_ok=True)
    return dict(json.loads(done.stdout))


def compare(folder: Path, scale: float) -> Iterator[str]:
    """Both ways, file by file."""
    makers = {"parquet": (make_parquet, int(1_000_000 * scale)), "jsonl": (make_jsonl, int(300_000 * scale))}
    idle = measure("idle", folder / "none", "spread", PEOPLE)["peak"]
    yield f"{'':28} {'read all':>19} {'ours':>19}   times faster, memory over an idle process ({idle:.0f} MB)"
    for form, (make, rows) in makers.items():
        path = folder / f"one.{form}"
        make(path, rows, GROUPS)
        for spread in ("clustered", "spread"):
            theirs, mine = (measure(f"{way} {form}", path, spread, rows) for way in ("read all", "ours"))
            assert theirs["found"] == mine["found"] == PEOPLE
            cells = [f"{m['cpu']:7.2f} s {m['peak'] - idle:6.0f} MB" for m in (theirs, mine)]
            name = f"{form:8} {path.stat().st_size >> 20:4} MB {spread:>13}:"
            yield f"{name} {cells[0]:>19} {cells[1]:>19}   {theirs['cpu'] / mine['cpu']:4.1f}"
        path.unlink()
    peaks: list[float] = []
    for times in (1, 4):
        path, rows = folder / "many.parquet", int(250_000 * scale) * times
        make_parquet(path, rows, 5 * times)
        peak = measure("ours parquet", path, "spread", rows)["peak"] - idle
        yield f"parquet, {5 * times:2} row groups of {rows // (5 * times):,} rows: ours {peak:.0f} MB"
        peaks.append(peak)
        path.unlink()
    assert peaks[1] < peaks[0] * _MOST, f"memory grows with the file: {peaks[0]:.0f} MB, then {peaks[1]:.0f} MB"


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.3, help="of the sizes above (default: %(default)s)")
    parser.add_argument("--child", nargs=5, metavar="…", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, path, out, spread, rows = arguments.child
        child(way, Path(path), Path(out), spread, int(rows))
        return
    with tempfile.TemporaryDirectory(prefix="dsr-lake-") as folder:
        for line in compare(Path(folder), arguments.scale):
            print(line, flush=True)


if __name__ == "__main__":
    main()
