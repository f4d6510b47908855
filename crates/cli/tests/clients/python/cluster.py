"""A cluster of real processes under one client library: every acknowledged record is where it was acknowledged.

Usage: cluster.py HIGHWATER DIRECTORY confluent|kafka-python

While a producer writes with acks=all, each of three nodes in turn is killed and started again, leaders are moved, all
partitions are reassigned, and a fourth broker takes over from the first, which is then shut down and unregistered.
Prints a line for each step and `lost nothing: N records` at the end; any other end is a failure.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

TOPIC = "moving"
PARTITIONS = 6
REPLICAS = 3
DEADLINE_SECONDS = 60


def free_ports(count):
    """Ports that were free just now: all are held until the last one is found."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Cluster:
    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.cluster_id = "c-" + uuid.uuid4().hex[:12]
        ports = free_ports(8)
        self.clients = dict(zip(range(1, 5), ports[:4]))
        self.controllers = dict(zip(range(1, 4), ports[4:7]))
        self.nodes = {}

    def settings(self, node):
        voters = ",".join(f"{id}@127.0.0.1:{port}" for id, port in self.controllers.items())
        listeners = f"PLAINTEXT://127.0.0.1:{self.clients[node]}"
        roles = "broker"
        if node in self.controllers:
            listeners += f",CONTROLLER://127.0.0.1:{self.controllers[node]}"
            roles = "broker,controller"
        return {
            "process.roles": roles,
            "node.id": node,
            "controller.quorum.voters": voters,
            "listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": os.path.join(self.directory, f"node-{node}"),
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "replica.lag.time.max.ms": 5000,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
        }

    def start(self, node):
        command = [self.binary, "server"]
        for key, value in self.settings(node).items():
            command += ["--set", f"{key}={value}"]
        log = open(os.path.join(self.directory, f"node-{node}.log"), "ab")
        environment = {**os.environ, "CLUSTER_ID": self.cluster_id}
        self.nodes[node] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def kill(self, node, how=signal.SIGKILL):
        process = self.nodes.pop(node)
        process.send_signal(how)
        process.wait(DEADLINE_SECONDS)
        return process.returncode

    def stop(self):
        for process in self.nodes.values():
            process.kill()
        for process in self.nodes.values():
            process.wait()

    def bootstrap(self):
        return [f"127.0.0.1:{port}" for port in self.clients.values()]

    def admin(self):
        return until("an administrator connects", lambda: KafkaAdminClient(bootstrap_servers=self.bootstrap()))


def until(what, attempt, seconds=DEADLINE_SECONDS):
    """Tries until something true comes of it."""
    deadline, problem = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            result = attempt()
            if result:
                return result
        except Exception as error:  # whatever a client throws while nodes come and go
            problem = error
        time.sleep(0.1)
    raise SystemExit(f"not within {seconds} s: {what} ({problem!r})")


def partitions(admin):
    topics = admin.describe_topics([TOPIC])
    return {one["partition_index"]: one for one in topics[0]["partitions"]}


def all_in_sync(admin, replicas=None):
    def check():
        state = partitions(admin)
        return len(state) == PARTITIONS and all(
            len(one["isr_nodes"]) == REPLICAS and (replicas is None or sorted(one["replica_nodes"]) == sorted(replicas))
            for one in state.values()
        )

    until("all replicas are in sync", check)


class Confluent:
    def __init__(self, bootstrap):
        import confluent_kafka

        self.producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": ",".join(bootstrap),
                "acks": "all",
                "linger.ms": 5,
                "topic.metadata.refresh.interval.ms": 1000,
                "message.timeout.ms": 120_000,
                "log_level": 2,
            }
        )
        self.acknowledged, self.failed = [], 0

    def send(self, partition, value):
        def delivered(error, message):
            if error is None:
                self.acknowledged.append((message.partition(), message.offset(), message.value()))
            else:
                self.failed += 1

        while True:
            try:
                self.producer.produce(TOPIC, value, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def flush(self):
        assert self.producer.flush(DEADLINE_SECONDS) == 0, "records are left"


class KafkaPython:
    def __init__(self, bootstrap):
        self.producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            linger_ms=5,
            retries=1_000_000,
            delivery_timeout_ms=120_000,
            metadata_max_age_ms=1000,
            enable_idempotence=False,
        )
        self.acknowledged, self.failed = [], 0

    def send(self, partition, value):
        def delivered(metadata):
            self.acknowledged.append((metadata.partition, metadata.offset, value))

        def failed(_):
            self.failed += 1

        self.producer.send(TOPIC, value, partition=partition).add_callback(delivered).add_errback(failed)

    def flush(self):
        self.producer.flush(DEADLINE_SECONDS)


class Writer(threading.Thread):
    """Writes numbered records until it is told to stop."""

    def __init__(self, producer):
        super().__init__(daemon=True)
        self.producer, self.going_on, self.sent = producer, True, 0
        self.longest_gap, self.last_progress, self.known = 0.0, time.monotonic(), 0

    def run(self):
        while self.going_on:
            value = f"{self.sent:08d}".encode()
            self.producer.send(self.sent % PARTITIONS, value)
            self.sent += 1
            self.note()
            time.sleep(0.002)
        self.producer.flush()

    def note(self):
        now, known = time.monotonic(), len(self.producer.acknowledged)
        if self.known < known:
            self.longest_gap = max(self.longest_gap, now - self.last_progress)
            self.known, self.last_progress = known, now

    def step(self, what):
        """Waits until something more was acknowledged, and says what was done."""
        before = len(self.producer.acknowledged)
        until(f"records are acknowledged after: {what}", lambda: before + 20 < len(self.producer.acknowledged))
        gap, self.longest_gap = self.longest_gap, 0.0
        print(f"{what}: {len(self.producer.acknowledged)} acknowledged, longest gap {gap:.2f} s", flush=True)


def unregister(port, node):
    """UnregisterBroker (64), which the Python clients do not have."""
    header = struct.pack(">hhih", 64, 0, 1, 2) + b"me" + b"\0"
    body = struct.pack(">i", node) + b"\0"
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        connection.settimeout(DEADLINE_SECONDS)
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
            part = connection.recv(4096)
            assert part, "the connection ended"
            answer += part
    # Size, correlation id, no tags, throttle time.
    return struct.unpack(">h", answer[13:15])[0]


def reassign(admin, wanted):
    admin.alter_partition_reassignments({TopicPartition(TOPIC, index): nodes for index, nodes in wanted.items()})
    until("reassignments end", lambda: not admin.list_partition_reassignments())


def check(bootstrap, acknowledged):
    """Every acknowledged record has to be at its offset, and nothing else there."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, check_crcs=True)
    assigned = [TopicPartition(TOPIC, index) for index in range(PARTITIONS)]
    consumer.assign(assigned)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(assigned)
    found = {}
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(consumer.position(one) < ends[one] for one in assigned):
        assert time.monotonic() < deadline, "not everything could be read"
        for records in consumer.poll(500).values():
            for record in records:
                assert (record.partition, record.offset) not in found, "an offset was read twice"
                found[record.partition, record.offset] = record.value
    consumer.close()
    lost = [one for one in acknowledged if found.get(one[:2]) != one[2]]
    assert not lost, f"{len(lost)} of {len(acknowledged)} are not where they were acknowledged, such as {lost[:3]}"
    places = {place for *place, _ in ((p, o, v) for p, o, v in acknowledged) for place in [tuple(place)]}
    assert len(places) == len(acknowledged), "two records were acknowledged at the same offset"


def main():
    binary, directory, library = sys.argv[1:4]
    cluster = Cluster(binary, directory)
    try:
        for node in (1, 2, 3):
            cluster.start(node)
        admin = cluster.admin()
        until("three brokers are there", lambda: len(admin.describe_cluster()["brokers"]) == 3)
        until("the topic is created", lambda: admin.create_topics({TOPIC: {"num_partitions": PARTITIONS, "replication_factor": REPLICAS}}))
        all_in_sync(admin)
        producer = {"confluent": Confluent, "kafka-python": KafkaPython}[library](cluster.bootstrap())
        writer = Writer(producer)
        writer.start()
        writer.step("three nodes write")
        for node in (1, 2, 3):
            cluster.kill(node)
            writer.step(f"node {node} was killed")
            cluster.start(node)
            all_in_sync(admin)
            writer.step(f"node {node} is in sync again")
        admin.elect_leaders(0)  # preferred
        writer.step("leaders moved to the preferred replicas")
        reassign(admin, {index: [(index + shift) % 3 + 1 for shift in (1, 2, 0)] for index in range(PARTITIONS)})
        all_in_sync(admin)
        admin.elect_leaders(0)  # preferred
        writer.step("partitions were reassigned among the three")
        cluster.start(4)
        until("four brokers are there", lambda: len(admin.describe_cluster()["brokers"]) == 4)
        reassign(admin, {index: [(index + shift) % 3 + 2 for shift in (0, 1, 2)] for index in range(PARTITIONS)})
        all_in_sync(admin, [2, 3, 4])
        writer.step("the fourth broker has taken over from the first")
        assert cluster.kill(1, signal.SIGTERM) == 0, "the first broker did not end cleanly"
        until("the first broker is unregistered", lambda: unregister(cluster.clients[2], 1) == 0)
        writer.step("the first broker is gone")
        writer.going_on = False
        writer.join(2 * DEADLINE_SECONDS)
        assert not writer.is_alive(), "the writer does not end"
        check(cluster.bootstrap()[1:], producer.acknowledged)
        print(f"failed: {producer.failed}", flush=True)
        print(f"lost nothing: {len(producer.acknowledged)} records", flush=True)
    finally:
        cluster.stop()


main()
