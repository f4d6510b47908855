"""The phases, written once against the few calls that each client implements.

    client_NAME.py PHASE[,PHASE...] --bootstrap H:P --codecs none,gzip --seed N --base-timestamp MS
                   --partitions N --first N --count N [--writer NAME --refused WHAT,WHAT]

Each phase prints one line of JSON. The first failure prints a line with `error` and exits 1.

    version   name and version of the client, the cases it knows
    produce   writes records `first..first + count`; creates the topics when `first` is 0
    verify    reads records `0..first + count` back and compares every field
    times     looks offsets up by time, and the first and last offset
    admin     creates, describes, alters, grows, trims and deletes topics

The phases of consumer groups stand in `group.py`.

With `--writer` the topics are those that another client wrote, which refuses to send other things.
"""

import argparse
import json
import sys
import time
import traceback
from typing import NamedTuple

import group
from records import Recipe, digest

DEADLINE_SECONDS = 60
TOPIC_ALREADY_EXISTS = 36
INVALID_PARTITIONS = 37
INVALID_CONFIG = 40


class Case(NamedTuple):
    """One topic and how it is written."""

    topic: str
    codec: str
    idempotent: bool


class ApiError(Exception):
    """An error code of the protocol, taken out of the client's own exception."""

    def __init__(self, code, message=""):
        super().__init__(f"error code {code} {message}")
        self.code = code


class Mismatch(Exception):
    """The broker gave back something else than was asked for."""


class Client:
    """What a client implements. A call that it does not have raises NotImplementedError."""

    name = ""
    # Variants beside the client's default settings: (suffix of the topic, idempotent).
    variants = (("", False),)
    # What it refuses to send, in the words of `records.py`.
    refused = ()

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def version(self):
        raise NotImplementedError

    def produce(self, case, records):
        raise NotImplementedError

    def consume(self, topic, counts):
        """Reads `counts[p]` records of each partition: a list of (offset, Record) per partition."""
        raise NotImplementedError

    def bounds(self, topic, partitions):
        """(earliest, latest) per partition."""
        raise NotImplementedError

    def offsets_for_times(self, topic, partitions, targets):
        """For each target time the offset per partition, None past the end."""
        raise NotImplementedError

    def create_topic(self, topic, partitions, configs):
        raise NotImplementedError

    def delete_topic(self, topic):
        raise NotImplementedError

    def topics(self):
        """{name: number of partitions}"""
        raise NotImplementedError

    def describe_configs(self, topic):
        """{name: value as text}, defaults included."""
        raise NotImplementedError

    def alter_configs(self, topic, configs):
        raise NotImplementedError

    def create_partitions(self, topic, total):
        raise NotImplementedError

    def delete_records(self, topic, partition, before):
        """Returns the new low watermark."""
        raise NotImplementedError

    def describe_cluster(self):
        """(cluster id, list of node ids)"""
        raise NotImplementedError

    def group_consumer(self, settings, assigned, revoked):
        """A `GroupConsumer` of `group.py`."""
        raise NotImplementedError

    def groups(self):
        """The names of all groups."""
        raise NotImplementedError

    def describe_group(self, group):
        """(state in small letters, number of members)"""
        raise NotImplementedError

    def group_offsets(self, group, topic, partitions):
        """{partition: (position, metadata)}, without those that have none."""
        raise NotImplementedError

    def alter_group_offsets(self, group, topic, positions):
        raise NotImplementedError

    def delete_group_offsets(self, group, topic, partitions):
        raise NotImplementedError

    def delete_group(self, group):
        raise NotImplementedError


def main(client_class):
    """Runs the phases named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("phases")
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--codecs", default="none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--base-timestamp", type=int, default=0)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--writer")
    parser.add_argument("--refused", default="")
    group.add_arguments(parser)
    args = parser.parse_args()
    phases = PHASES | group.PHASES
    client = client_class(args.bootstrap)
    for phase in args.phases.split(","):
        started = time.monotonic()
        line = {"client": client.name, "phase": phase}
        try:
            line.update(phases[phase](client, args))
        except Exception as error:  # the line is the report: it has to come out whatever went wrong
            traceback.print_exc()
            line["error"] = f"{type(error).__name__}: {error}"
        line["seconds"] = round(time.monotonic() - started, 2)
        print(json.dumps(line), flush=True)
        if "error" in line:
            sys.exit(1)


def cases(client, args):
    """The topics of this client, one for each codec and variant, or those of another writer."""
    return [
        Case(f"{args.writer or client.name}{suffix}-{codec}", codec, idempotent)
        for suffix, idempotent in (client.variants[:1] if args.writer else client.variants)
        for codec in args.codecs.split(",")
    ]


def recipe(client, args):
    refused = args.refused.split(",") if args.writer else client.refused
    return Recipe(args.seed, args.partitions, args.base_timestamp, refused)


def version(client, _args):
    suffixes = [suffix for suffix, _ in client.variants]
    return {"version": client.version(), "refused": client.refused, "suffixes": suffixes}


def produce(client, args):
    records = recipe(client, args).stream(args.first, args.count)
    done = []
    for case in cases(client, args):
        if args.first == 0:
            client.create_topic(case.topic, args.partitions, {})
            until(lambda: is_empty(client, case.topic, args.partitions), f"the leaders of {case.topic} answer")
        client.produce(case, records)
        done.append({"topic": case.topic, "codec": case.codec, "count": len(records)})
    return {"topics": done}


def is_empty(client, topic, partitions):
    """Whether all leaders answer. Kafka's do so only a moment after a topic was created, and an idempotent
    producer whose first batch is turned away while its second is taken never gets its sequence right again.
    """
    try:
        return all(tuple(each) == (0, 0) for each in client.bounds(topic, partitions))
    except Exception:  # every client has its own for a leader that is not there
        return False


def verify(client, args):
    total = args.first + args.count
    want = recipe(client, args).by_partition(total)
    done = []
    for case in cases(client, args):
        got = client.consume(case.topic, [len(records) for records in want])
        for partition, records in enumerate(want):
            compare(case.topic, partition, records, got[partition])
        bare = [[record for _, record in records] for records in got]
        count = sum(len(records) for records in bare)
        done.append({"topic": case.topic, "codec": case.codec, "count": count, "digest": digest(bare)})
    return {"topics": done}


def compare(topic, partition, want, got):
    """Raises with the first record that is not the expected one."""
    for position, expected in enumerate(want):
        where = f"{topic}-{partition} offset {position}"
        if position >= len(got):
            raise Mismatch(f"{where}: missing, {len(got)} of {len(want)} records came back")
        offset, actual = got[position]
        if offset != position:
            raise Mismatch(f"{where}: came back with offset {offset}")
        for field in expected._fields:
            if getattr(expected, field) != getattr(actual, field):
                raise Mismatch(
                    f"{where}: {field} is {shorten(getattr(actual, field))}, "
                    f"written was {shorten(getattr(expected, field))}"
                )
    if len(got) > len(want):
        raise Mismatch(f"{topic}-{partition}: {len(got) - len(want)} records too many")


def shorten(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}... ({len(value)} long)"


def times(client, args):
    total = args.first + args.count
    split = recipe(client, args).by_partition(total)
    end = args.base_timestamp + 10 * total
    targets = [0, args.base_timestamp, end]
    targets += [args.base_timestamp + 10 * total * step // 7 + 3 for step in range(1, 7)]
    looked_up = 0
    for case in cases(client, args):
        bounds = client.bounds(case.topic, args.partitions)
        for partition, records in enumerate(split):
            if tuple(bounds[partition]) != (0, len(records)):
                raise Mismatch(f"{case.topic}-{partition}: bounds {bounds[partition]}, not 0..{len(records)}")
        for target, got in zip(targets, client.offsets_for_times(case.topic, args.partitions, targets)):
            for partition, records in enumerate(split):
                want = next((at for at, each in enumerate(records) if each.timestamp >= target), None)
                if got[partition] != want:
                    raise Mismatch(f"{case.topic}-{partition}: time {target} is at {got[partition]}, not {want}")
                looked_up += 1
    return {"looked_up": looked_up}


def admin(client, args):
    topic = f"{client.name}-admin"
    done = []

    def step(name, run):
        try:
            run()
        except NotImplementedError:
            return
        done.append(name)

    def create():
        client.create_topic(topic, 2, {"retention.ms": "86400000", "cleanup.policy": "delete"})
        until(lambda: client.topics().get(topic) == 2, f"{topic} has 2 partitions")
        expect_code(TOPIC_ALREADY_EXISTS, lambda: client.create_topic(topic, 2, {}))
        expect_code(INVALID_CONFIG, lambda: client.create_topic(f"{topic}-bad", 1, {"retention.ms": "soon"}))

    def describe():
        configs = client.describe_configs(topic)
        expect(configs, "retention.ms", "86400000")
        expect(configs, "segment.bytes", "1073741824")

    def alter():
        client.alter_configs(topic, {"retention.ms": "43200000", "max.message.bytes": "2000000"})
        until(
            lambda: client.describe_configs(topic).get("max.message.bytes") == "2000000",
            f"{topic} has the altered max.message.bytes",
        )
        expect(client.describe_configs(topic), "retention.ms", "43200000")
        expect_code(INVALID_CONFIG, lambda: client.alter_configs(topic, {"max.message.bytes": "-7"}))

    def grow():
        client.create_partitions(topic, 5)
        until(lambda: client.topics().get(topic) == 5, f"{topic} has 5 partitions")
        expect_code(INVALID_PARTITIONS, lambda: client.create_partitions(topic, 3))

    def trim():
        records = recipe(client, args)._replace(partitions=1).stream(0, 200)
        client.produce(Case(topic, "none", False), records)
        low = client.delete_records(topic, 0, 120)
        if low != 120:
            raise Mismatch(f"low watermark {low} after records below 120 were deleted")
        bounds = client.bounds(topic, 1)
        if tuple(bounds[0]) != (120, 200):
            raise Mismatch(f"bounds {bounds[0]} after records below 120 were deleted")

    def delete():
        client.delete_topic(topic)
        until(lambda: topic not in client.topics(), f"{topic} is gone")

    def cluster():
        cluster_id, nodes = client.describe_cluster()
        if not cluster_id or len(nodes) != 1:
            raise Mismatch(f"cluster id {cluster_id!r}, nodes {nodes}")

    step("create", create)
    step("describe configs", describe)
    step("alter configs", alter)
    step("add partitions", grow)
    step("delete records", trim)
    step("delete", delete)
    step("describe cluster", cluster)
    return {"exercised": done}


def expect(configs, name, value):
    if configs.get(name) != value:
        raise Mismatch(f"config {name} is {configs.get(name)!r}, not {value!r}")


def expect_code(code, run):
    try:
        run()
    except ApiError as error:
        if error.code == code:
            return
        raise Mismatch(f"error code {error.code}, not {code}") from error
    raise Mismatch(f"no error, where code {code} is due")


def until(condition, what):
    """Waits for a change that a broker may show a moment after it confirmed it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Mismatch(f"not within {DEADLINE_SECONDS} s: {what}")
        time.sleep(0.05)


PHASES = {"version": version, "produce": produce, "verify": verify, "times": times, "admin": admin}
