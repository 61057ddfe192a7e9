"""`python -m tests.faults`: hurt a whole installation in every way that is planned for, and print what it kept."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import reduce
from pathlib import Path

from tests.faults.installation import installation
from tests.faults.report import Result, table, write
from tests.faults.scenarios import AT_ONCE, SCENARIOS, SEEDS, run
from tests.servers.requirements import require

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"


def main() -> int:
    """Run what was asked for; 1 when a promise was broken."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.json:
        result = _alone(arguments.only[0], arguments.seed, arguments.keep)
        arguments.json.write_text(json.dumps(asdict(result)))
        return 0
    results: list[Result] = []
    for number in range(arguments.rounds):
        results = _round(arguments, arguments.seed + 100 * number)
        text = table(results)
        print(text, flush=True)
        if not all(result.passed for result in results):
            return 1
    if arguments.write:
        write(DOCUMENT, f"`make faults`, the last of {arguments.rounds} rounds\n\n{table(results)}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--short", action="store_true", help="the round that runs with the tests")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="scenarios at a time in the long round")
    parser.add_argument("--write", action="store_true", help="renew the table in docs/reliability.md")
    parser.add_argument("--keep", type=Path, help="keep logs and data in this directory")
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)  # one scenario in a process of its own
    return parser.parse_args()


def _round(arguments: argparse.Namespace, seed: int) -> list[Result]:
    """The short round shares one installation; in the long one each scenario has its own, and a process."""
    print(f"seed {seed}", flush=True)
    if arguments.short:
        with _folder("short", seed, arguments.keep) as folder:
            return short_round(folder, arguments.only, seed)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # the kernel tells the processes below
    with ThreadPoolExecutor(arguments.at_once) as pool:
        return list(pool.map(lambda name: _each_seed(name, seed, arguments.keep), arguments.only))


def _each_seed(name: str, first: int, keep: Path | None) -> Result:
    """A scenario with each of its seeds in a process of its own, one after the other."""
    found = []
    for seed in range(first, first + SEEDS.get(name, 1)):
        found.append(_in_a_process(name, seed, keep))
        tell(name, found[-1])
    return reduce(Result.add, found)


def short_round(folder: Path, names: Sequence[str], seed: int) -> list[Result]:
    """Scenarios one after another in one installation."""
    results = []
    with installation(folder) as rig:
        for name in names:
            results.append(run(rig, name, short=True, seed=seed))
            tell(name, results[-1])
    return results


def tell(name: str, result: Result) -> None:
    """At once: a round takes an hour."""
    verdict = f"{name}: {'kept' if result.passed else 'BROKEN'} in {result.seconds:.0f} s"
    print("\n".join([verdict, *(f"  {trouble}" for trouble in result.troubles)]), flush=True)


def _alone(name: str, seed: int, keep: Path | None) -> Result:
    with _folder(name, seed, keep) as folder, installation(folder) as rig:
        return run(rig, name, short=False, seed=seed)


@contextmanager
def _folder(name: str, seed: int, keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="ansible-api-faults-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(prefix=f"{name}-{seed}-", dir=keep))


def _in_a_process(name: str, seed: int, keep: Path | None) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        argv = [sys.executable, "-m", "tests.faults", "--only", name, "--seed", str(seed), "--json", str(out)]
        argv += ["--keep", str(keep)] if keep else []
        # It must end, and clean up, when this process does.
        done = subprocess.run([require("setpriv"), "--pdeathsig", "TERM", "--", *argv], check=False)
        if done.returncode != 0:
            raise SystemExit(f"{name} could not be run")
        return Result(**json.loads(out.read_text()))


if __name__ == "__main__":
    raise SystemExit(main())
