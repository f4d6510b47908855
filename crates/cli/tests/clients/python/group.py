"""The phases of consumer groups, written once against the few calls of `GroupConsumer`.

Beside the options of `driver.py`: `--topic T --group G [--protocol classic|consumer] [--instance ID] [--session-ms N]
[--commit sync|async] [--strategy S]`.

    member            joins and prints what it is given, consumes and commits, until its stdin ends; then it leaves
    feed              writes to all partitions, round by round, until its stdin ends
    committed         prints the committed position of each partition
    group-positions   seeks by offset and time; commits by itself, synchronously, asynchronously; reads them back
    group-admin       lists, describes, alters and deletes groups and their offsets

The first two print a line of JSON for each event. `at` is CLOCK_MONOTONIC, which all processes of a machine share, so
that the events of several members have one order. An event is printed before the broker can know of what follows it:
that a partition was revoked, for one, before it is given up.
"""

import json
import sys
import threading
import time
from typing import NamedTuple, Optional

import driver

NON_EMPTY_GROUP = 68
# A batch is committed as a whole; small ones leave the judge more committed positions to look at.
BATCH = 50
# Of the feed, before it looks whether it is to end.
ROUNDS = 5
PAUSE_SECONDS = 0.2


class Settings(NamedTuple):
    """How a consumer joins."""

    topic: str
    group: str
    protocol: str = "classic"
    instance: Optional[str] = None
    # Only the classic protocol leaves it to the client.
    session_ms: int = 10000
    auto_commit: bool = False
    # None leaves the client's default.
    auto_commit_interval_ms: Optional[int] = None
    # How partitions are shared in the classic protocol; empty leaves the client's default. Only confluent-kafka looks.
    strategy: str = ""


class GroupConsumer:
    """What a client implements for its consumer. Partitions are numbers: there is one topic."""

    def __init__(self, bootstrap, settings, assigned, revoked):
        """Subscribes. `assigned(partitions)` and `revoked(partitions)` are called as the client says so."""
        raise NotImplementedError

    def poll(self, seconds):
        """A list of (partition, offset, timestamp), empty after `seconds`."""
        raise NotImplementedError

    def commit(self, positions, metadata=""):
        """Commits {partition: position} and waits."""
        raise NotImplementedError

    def commit_async(self, positions, done):
        """Commits; `done(error or None)` is called in a later `poll` or before."""
        raise NotImplementedError

    def committed(self, partitions):
        """{partition: (position, metadata)}, without those that have none."""
        raise NotImplementedError

    def seek(self, partition, offset):
        raise NotImplementedError

    def offset_for_time(self, partition, timestamp):
        raise NotImplementedError

    def close(self):
        """Leaves the group."""
        raise NotImplementedError


def add_arguments(parser):
    parser.add_argument("--topic", default="")
    parser.add_argument("--group", default="")
    parser.add_argument("--protocol", default="classic")
    parser.add_argument("--instance")
    parser.add_argument("--session-ms", type=int, default=10000)
    parser.add_argument("--commit", default="sync", choices=["sync", "async"])
    parser.add_argument("--strategy", default="")


def say(event, **fields):
    print(json.dumps({"event": event, "at": time.monotonic_ns(), **fields}), flush=True)


def until_stdin_ends():
    """An event that is set when stdin ends."""
    ended = threading.Event()

    def wait():
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


class Member:
    """A consumer that commits what it prints."""

    def __init__(self, client, args):
        self.positions = {}
        self.is_async = args.commit == "async"
        settings = Settings(args.topic, args.group, args.protocol, args.instance, args.session_ms)
        settings = settings._replace(strategy=args.strategy)
        self.consumer = client.group_consumer(settings, self.assigned, self.revoked)

    def assigned(self, partitions):
        say("assigned", partitions=sorted(partitions))

    def revoked(self, partitions):
        # Nothing is pending in the clients that poll in batches: they commit each before the next.
        self.commit(wait=True)
        say("revoked", partitions=sorted(partitions))

    def run(self):
        ended = until_stdin_ends()
        while not ended.is_set():
            records = self.consumer.poll(0.2)
            if records:
                say("consumed", records=[record[:2] for record in records])
                for partition, offset, _ in records:
                    self.positions[partition] = offset + 1
                self.commit(wait=not self.is_async)
        self.commit(wait=True)
        self.consumer.close()

    def commit(self, wait):
        positions, self.positions = self.positions, {}
        if not positions:
            return
        pairs = sorted(positions.items())
        say("committing", positions=pairs)

        def done(error):
            if error is None:
                say("committed", positions=pairs)
            else:
                say("refused", positions=pairs, why=str(error))

        if not wait:
            self.consumer.commit_async(positions, done)
            return
        try:
            self.consumer.commit(positions)
        except Exception as error:  # a rebalance is in the way: the next owner reads these records again
            done(error)
        else:
            done(None)


def member(client, args):
    Member(client, args).run()
    return {}


def feed(client, args):
    """One record for each partition per round: the count of rounds is the end of every partition."""
    ended = until_stdin_ends()
    rounds = 0
    base = driver.recipe(client, args)._replace(partitions=1)
    while True:
        # The end is looked at before the round, so that what was asked for is written in any case.
        last = ended.wait(PAUSE_SECONDS)
        records = base.stream(args.first + rounds, ROUNDS)
        spread = [each._replace(partition=partition) for each in records for partition in range(args.partitions)]
        client.produce(driver.Case(args.topic, "none", False), spread)
        rounds += ROUNDS
        say("fed", rounds=args.first + rounds)
        if last:
            return {"rounds": args.first + rounds}


def committed(client, args):
    """Asks without joining: a member of its own would make the group rebalance."""
    found = client.group_offsets(args.group, args.topic, args.partitions)
    return {"positions": [found.get(partition, (None, ""))[0] for partition in range(args.partitions)]}


class Position:
    """A consumer with one partition, whose records are taken one by one."""

    def __init__(self, client, settings):
        self.owned = set()
        self.consumer = client.group_consumer(settings, self.owned.update, self.owned.difference_update)
        self.queue = []

    def next(self):
        deadline = time.monotonic() + driver.DEADLINE_SECONDS
        while not self.queue:
            if time.monotonic() > deadline:
                raise driver.Mismatch("no record came")
            self.queue = self.consumer.poll(0.2)
        return self.queue.pop(0)

    def seek(self, offset):
        self.consumer.seek(0, offset)
        self.queue = []

    def expect_next(self, offset, after):
        got = self.next()[1]
        if got != offset:
            raise driver.Mismatch(f"record {got} came, not {offset}, after {after}")

    def expect_committed(self, position, metadata, after):
        found = self.consumer.committed([0]).get(0)
        if found != (position, metadata):
            raise driver.Mismatch(f"committed is {found}, not {(position, metadata)}, after {after}")


def group_positions(client, args):
    topic, group = f"{args.group}-positions", f"{args.group}-positions"
    records = driver.recipe(client, args)._replace(partitions=1).stream(0, 200)
    client.create_topic(topic, 1, {})
    driver.until(lambda: driver.is_empty(client, topic, 1), f"the leader of {topic} answers")
    client.produce(driver.Case(topic, "none", False), records)
    done = []

    settings = Settings(topic, group, args.protocol)
    one = Position(client, settings)
    one.expect_next(0, "the start without a committed position")
    one.seek(77)
    one.expect_next(77, "seek by offset")
    done.append("seek by offset")
    target = records[120].timestamp
    want = next(at for at, each in enumerate(records) if each.timestamp >= target)
    found = one.consumer.offset_for_time(0, target)
    one.seek(found)
    one.expect_next(want, "seek by time")
    done.append("seek by time")

    one.consumer.commit({0: 31}, "müsli")
    one.expect_committed(31, "müsli", "a synchronous commit")
    done.append("synchronous commit")
    answers = []
    one.consumer.commit_async({0: 42}, answers.append)
    deadline = time.monotonic() + driver.DEADLINE_SECONDS
    while not answers and time.monotonic() < deadline:
        one.consumer.poll(0.05)
    if answers != [None]:
        raise driver.Mismatch(f"the asynchronous commit ended with {answers}")
    one.expect_committed(42, "", "an asynchronous commit")
    done.append("asynchronous commit")
    one.consumer.close()
    one = Position(client, settings)
    one.expect_next(42, "the return to the group")
    one.consumer.close()

    started = time.monotonic()
    one = Position(client, settings._replace(auto_commit=True))
    for offset in range(42, 200):
        one.expect_next(offset, "the return to the group")

    def is_committed():
        # Some commit only when polled.
        one.consumer.poll(0.05)
        return one.consumer.committed([0])[0][0] == 200

    driver.until(is_committed, "the client commits by itself")
    if time.monotonic() - started < 4.9:
        raise driver.Mismatch("the client did not wait 5 s before its first commit")
    one.consumer.close()
    done.append("auto-commit every 5 s")

    one = Position(client, settings._replace(auto_commit=True, auto_commit_interval_ms=100))
    one.consumer.poll(0.05)
    driver.until(lambda: one.owned or one.consumer.poll(0.05), "the member has its partition")
    one.seek(150)
    for offset in range(150, 160):
        one.expect_next(offset, "seek")
    one.seek(160)
    one.expect_next(160, "seek")
    driver.until(
        lambda: one.consumer.poll(0.05) is not None and one.consumer.committed([0])[0][0] >= 160,
        "the client commits after an interval of its own",
    )
    one.consumer.close()
    return {"exercised": done}


def group_admin(client, args):
    topic, group = f"{args.group}-admin", f"{args.group}-admin"
    client.create_topic(topic, 2, {})
    driver.until(lambda: driver.is_empty(client, topic, 2), f"the leaders of {topic} answer")
    client.produce(driver.Case(topic, "none", False), driver.recipe(client, args)._replace(partitions=1).stream(0, 9))
    one = Position(client, Settings(topic, group, args.protocol))
    one.expect_next(0, "the start")
    one.consumer.commit({0: 3, 1: 0})
    done = []

    def step(name, run):
        try:
            run()
        except NotImplementedError:
            return
        done.append(name)

    def list_groups():
        expect("groups", group in client.groups(), True)

    def describe():
        expect("the group", client.describe_group(group), ("stable", 1))

    def refuse():
        driver.expect_code(NON_EMPTY_GROUP, lambda: client.delete_group(group))

    step("list groups", list_groups)
    step("describe groups", describe)
    step("", refuse)
    one.consumer.close()

    def describe_empty():
        expect("the group", client.describe_group(group), ("empty", 0))

    def fetch():
        found = client.group_offsets(group, topic, 2)
        expect("offsets", {each: found[each][0] for each in found}, {0: 3, 1: 0})

    def alter():
        client.alter_group_offsets(group, topic, {0: 5})
        expect("altered offset", client.group_offsets(group, topic, 2)[0][0], 5)

    def delete_offsets():
        client.delete_group_offsets(group, topic, [1])
        expect("offsets left", sorted(client.group_offsets(group, topic, 2)), [0])

    def delete():
        client.delete_group(group)
        expect("groups", group in client.groups(), False)

    step("", describe_empty)
    step("list offsets", fetch)
    step("alter offsets", alter)
    step("delete offsets", delete_offsets)
    step("delete groups", delete)
    return {"exercised": [name for name in done if name]}


def expect(what, got, want):
    if got != want:
        raise driver.Mismatch(f"{what}: {got!r}, not {want!r}")


PHASES = {
    "member": member,
    "feed": feed,
    "committed": committed,
    "group-positions": group_positions,
    "group-admin": group_admin,
}
