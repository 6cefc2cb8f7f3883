"""Many clients at the page's API at once, while the server is killed again and again.

    python benchmarks/hitl_load.py
    python benchmarks/hitl_load.py --clients 5 --seconds 10 --kills 1

The collection is simulated features. Each client is a person of its own who asks for rounds, answers, and takes back an
answer now and then. The server is a process of its own, and is ended by SIGKILL at times spread over the run; clients
go on when it is back. At the end it is killed once more, and the session is replayed from its log. Then

- every answer that was acknowledged is in the log, with the number that was acknowledged;
- no galaxy has answers of two people within a lease;
- the replay is what the server said of its state before it was killed.

A violation ends the program with exit code 1. Seconds are those in which there is a server, and latencies are those
that the clients saw of it.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from galvm_hf.hitl import Collection, Oracle, Session, build_collection
from galvm_hf.hitl.leases import LEASE_SECONDS
from galvm_hf.hitl.log import read_events

WIDTH = 256
SHARE = 0.1  # of the galaxies are of the kind
UNDO_SHARE = 0.05
START_SECONDS = 120.0
COMMAND = "import sys; from galvm_hf.interfaces.cli import app; app(sys.argv[1:])"


class Server:
    """`galvm label` as a process of its own, on one port, through any number of restarts.

    Args:
        arguments: Of the command.
        log: File that its output is added to.
    """

    def __init__(self, arguments: list[str], log: Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-c", COMMAND, "label", *arguments, "--no-open", "--port", str(self.port)]
        self._log = log
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            RuntimeError: If it ends, or does not answer in time.
        """
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if httpx.get(self.address, timeout=5).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise RuntimeError(f"The server did not start:\n{self._log.read_text()[-3000:]}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it, by SIGKILL as `kill -9` does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None


class Refused(RuntimeError):
    """The server answered with an error."""


def call(client: httpx.Client, endpoint: str, *values: Any) -> Any:
    """The answer of an endpoint.

    Raises:
        Refused: If it is an error.
        httpx.TransportError: If there is no server.
    """
    response = client.post(f"/gradio_api/run/{endpoint}", json={"data": values})
    if not response.is_success:
        raise Refused(f"{endpoint}{values}: {response.text}")
    return response.json()["data"][0]


@dataclass
class Person:
    """A client, and what was acknowledged to it.

    Attributes:
        who: Its name.
        acknowledged: Number of the event, galaxy and answer, of each answer.
        refused: Errors of the server.
        seconds: By endpoint, how long each call took.
    """

    who: str
    acknowledged: list[tuple[int, str, bool]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def work(self, address: str, session: str, oracle: Oracle, ended: threading.Event) -> None:
        """Answer until it is ended, through restarts of the server."""
        random = np.random.default_rng([*self.who.encode()])
        with httpx.Client(base_url=address, timeout=120) as client:
            while not ended.is_set():
                try:
                    proposed = self._call(client, "propose", session, self.who, 10, "alpha=0.5")["objects"]
                    for name in proposed:
                        if ended.is_set():
                            break
                        said = oracle.answer(name)
                        reply = self._call(client, "answer", session, self.who, name, said)
                        self.acknowledged.append((reply["number"], name, said))
                        if random.random() < UNDO_SHARE:
                            self._call(client, "undo", session, self.who)
                except httpx.TransportError:
                    time.sleep(0.2)  # until it is back
                except Refused as error:
                    self.refused.append(str(error))
                    time.sleep(0.05)

    def _call(self, client: httpx.Client, endpoint: str, *values: Any) -> Any:
        begin = time.perf_counter()
        reply = call(client, endpoint, *values)
        self.seconds.setdefault(endpoint, []).append(time.perf_counter() - begin)
        return reply


def simulate(number: int, folder: Path) -> tuple[Collection, list[str]]:
    """A collection of simulated features, and the names of those that are of the kind."""
    random = np.random.default_rng(0)
    members = random.random(number) < SHARE
    features = random.standard_normal((number, WIDTH), dtype=np.float32)
    features[members, :8] += 1.5
    names = [f"galaxy-{row}" for row in range(number)]
    columns = {
        "id": names,
        "source": [""] * number,
        "features": pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), WIDTH),
    }
    facts = {"model": "simulated", "weights": "none", "features": "stage_statistics"}
    pq.write_table(pa.table(columns).replace_schema_metadata(facts), folder / "features.parquet")
    collection = build_collection([folder / "features.parquet"], folder / "collection")
    return collection, [name for name, member in zip(names, members, strict=True) if member]


def run_load(clients: int, seconds: float, kills: int, galaxies: int, folder: Path) -> dict[str, Any]:
    """Run it all.

    Returns:
        What was counted; `violations` is a list of sentences, empty if all is well.
    """
    collection, members = simulate(galaxies, folder)
    others = sorted(set(collection.ids.to_pylist()[:100]) - set(members))
    sessions = folder / "sessions"
    server = Server([str(collection.folder), "--sessions", str(sessions)], folder / "server.log")
    server.start()
    people = [Person(f"person {number}") for number in range(clients)]
    try:
        with httpx.Client(base_url=server.address, timeout=120) as client:
            session = call(client, "start_session", "the kind", "starter", members[:5], others[:5])
            oracle, ended = Oracle(members, error_rate=0.05), threading.Event()
            threads = [
                threading.Thread(target=person.work, args=(server.address, session, oracle, ended)) for person in people
            ]
            for thread in threads:
                thread.start()
            for number in range(kills + 1):
                _wait_for_answers(people, seconds / (kills + 1))
                if number < kills:
                    server.stop(signal.SIGKILL)
                    server.start()
            ended.set()
            for thread in threads:
                thread.join()
            live = call(client, "summary", session)
    finally:
        server.stop(signal.SIGKILL)
    return _judge(people, live, Path(sessions) / "sessions" / session, collection, kills)


def _wait_for_answers(people: list[Person], seconds: float) -> None:
    """Wait some time, and until as many answers were acknowledged in it as there are people."""
    wanted = sum(len(person.acknowledged) for person in people) + len(people)
    end = time.monotonic() + START_SECONDS
    time.sleep(seconds)
    while time.monotonic() < end and sum(len(person.acknowledged) for person in people) < wanted:
        time.sleep(0.05)


def _judge(
    people: list[Person], live: dict[str, Any], folder: Path, collection: Collection, kills: int
) -> dict[str, Any]:
    violations = []
    events = {event["n"]: event for event in read_events(folder)}
    for person in people:
        for number, name, said in person.acknowledged:
            event = events.get(number, {})
            if (event.get("who"), event.get("object"), event.get("answer")) != (person.who, name, said):
                violations.append(
                    f"The answer {number} of {person.who} about {name} was acknowledged and is not there."
                )
    last: dict[str, tuple[str, float]] = {}
    for event in events.values():
        if event["kind"] == "answered":
            who, before = last.get(event["object"], (event["who"], 0.0))
            if who != event["who"] and event["time"] - before < LEASE_SECONDS:
                violations.append(f"{event['object']} was answered by {who} and {event['who']} within a lease.")
            last[event["object"]] = event["who"], event["time"]
    with Session(folder, collection) as replayed:
        repairs = len(replayed.repairs)
        answers = {
            name: {who: answer.answer for who, answer in said.items()} for name, said in replayed.answers.items()
        }
        state = {
            "target": replayed.target,
            "answers": answers,
            "labels": replayed.labels,
            "rounds": replayed.progress(),
        }
    if state != live:
        violations.append("The replay is not what the server said of its state.")
    refused = [error for person in people for error in person.refused]
    seconds = {
        endpoint: sorted(value for person in people for value in person.seconds.get(endpoint, []))
        for endpoint in ("propose", "answer")
    }
    return {
        "clients": len(people),
        "kills": kills + 1,
        "acknowledged": sum(len(person.acknowledged) for person in people),
        "people_with_answers": sum(bool(person.acknowledged) for person in people),
        "rounds": len(state["rounds"]),
        "repaired_lines": repairs,
        "refused": len(refused),
        "first_refused": refused[:3],
        "latency_s": {
            endpoint: {"median": round(statistics.median(values), 4), "p99": round(values[int(0.99 * len(values))], 4)}
            for endpoint, values in seconds.items()
            if values
        },
        "violations": violations,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--kills", type=int, default=19, help="beside the one at the end")
    parser.add_argument("--galaxies", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run_load(options.clients, options.seconds, options.kills, options.galaxies, Path(folder))
    facts = {"date": date.today().isoformat(), "processor": platform.processor(), "cores": os.cpu_count()}
    print(json.dumps(facts | {"seconds": options.seconds, "galaxies": options.galaxies} | result, indent=2))
    sys.exit(bool(result["violations"]))


if __name__ == "__main__":
    main()
