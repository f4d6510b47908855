"""confluent-kafka (librdkafka) as one of the clients of `driver.py`."""

import time

import confluent_kafka
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

import driver
import group
from records import Record


class Confluent(driver.Client):
    name = "confluent-kafka"
    variants = (("", False), ("-idempotent", True))

    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self._connected = None

    def version(self):
        return f"{confluent_kafka.version()} (librdkafka {confluent_kafka.libversion()[0]})"

    def produce(self, case, records):
        failures = []
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": case.codec,
                "enable.idempotence": case.idempotent,
                "linger.ms": 5,
                # Unlike the idempotent producer, the plain one keeps the order only with one request in flight.
                "max.in.flight": 5 if case.idempotent else 1,
            }
        )

        def delivered(error, _message):
            if error is not None:
                failures.append(str(error))

        for each in records:
            producer.produce(
                case.topic,
                key=each.key,
                value=each.value,
                partition=each.partition,
                timestamp=each.timestamp,
                headers=list(each.headers),
                on_delivery=delivered,
            )
            producer.poll(0)
        left = producer.flush(driver.DEADLINE_SECONDS)
        if left or failures:
            raise driver.Mismatch(f"{left} records not delivered, {len(failures)} failed: {failures[:1]}")

    def _consumer(self):
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                # The library insists on a group; without subscribe and commit it is never used.
                "group.id": "unused",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "check.crcs": True,
                "fetch.wait.max.ms": 100,
            }
        )

    def consume(self, topic, counts):
        got = [[] for _ in counts]
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(topic, partition, 0) for partition in range(len(counts))])
            ended = set()
            deadline = time.monotonic() + driver.DEADLINE_SECONDS
            while len(ended) < len(counts) and time.monotonic() < deadline:
                for message in consumer.consume(1000, 0.5):
                    if message.error() is None:
                        record = Record(
                            message.partition(),
                            message.timestamp()[1],
                            message.key(),
                            message.value(),
                            tuple(message.headers() or ()),
                        )
                        got[message.partition()].append((message.offset(), record))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
                    else:
                        raise KafkaException(message.error())
        finally:
            consumer.close()
        return got

    def bounds(self, topic, partitions):
        consumer = self._consumer()
        try:
            return [
                consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30, cached=False)
                for partition in range(partitions)
            ]
        finally:
            consumer.close()

    def offsets_for_times(self, topic, partitions, targets):
        consumer = self._consumer()
        try:
            return [look_up(consumer, topic, partitions, target) for target in targets]
        finally:
            consumer.close()

    def _admin(self):
        # Kept: dropping it cancels the calls that are still under way.
        if self._connected is None:
            self._connected = AdminClient({"bootstrap.servers": self.bootstrap})
        return self._connected

    def create_topic(self, topic, partitions, configs):
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=configs)
        result(self._admin().create_topics([new]))

    def delete_topic(self, topic):
        result(self._admin().delete_topics([topic]))

    def topics(self):
        found = self._admin().list_topics(timeout=30).topics
        return {name: len(topic.partitions) for name, topic in found.items()}

    def describe_configs(self, topic):
        described = result(self._admin().describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
        return {name: entry.value for name, entry in described.items()}

    def alter_configs(self, topic, configs):
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in configs.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        result(self._admin().incremental_alter_configs([resource]))

    def create_partitions(self, topic, total):
        result(self._admin().create_partitions([NewPartitions(topic, total)]))

    def delete_records(self, topic, partition, before):
        return result(self._admin().delete_records([TopicPartition(topic, partition, before)])).low_watermark

    def describe_cluster(self):
        described = self._admin().describe_cluster().result(driver.DEADLINE_SECONDS)
        return described.cluster_id, [node.id for node in described.nodes]

    def group_consumer(self, settings, assigned, revoked):
        return ConfluentGroup(self.bootstrap, settings, assigned, revoked)

    def groups(self):
        listed = self._admin().list_consumer_groups().result(driver.DEADLINE_SECONDS)
        return [each.group_id for each in listed.valid]

    def describe_group(self, name):
        described = result(self._admin().describe_consumer_groups([name]))
        return described.state.name.lower(), len(described.members)

    def group_offsets(self, name, topic, _partitions):
        found = result(self._admin().list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)]))
        return {
            each.partition: (each.offset, each.metadata or "")
            for each in found.topic_partitions
            if each.topic == topic and each.offset >= 0
        }

    def alter_group_offsets(self, name, topic, positions):
        changes = [TopicPartition(topic, partition, position) for partition, position in positions.items()]
        result(self._admin().alter_consumer_group_offsets([ConsumerGroupTopicPartitions(name, changes)]))

    def delete_group(self, name):
        result(self._admin().delete_consumer_groups([name]))


class ConfluentGroup(group.GroupConsumer):
    def __init__(self, bootstrap, settings, assigned, revoked):
        self.topic = settings.topic
        self.waiting = []
        self.gathered = []
        config = {
            "bootstrap.servers": bootstrap,
            "group.id": settings.group,
            "group.protocol": settings.protocol,
            "enable.auto.commit": settings.auto_commit,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 1000,
        }
        if settings.protocol == "classic":
            config |= {"session.timeout.ms": settings.session_ms, "heartbeat.interval.ms": 500}
        if settings.strategy:
            config["partition.assignment.strategy"] = settings.strategy
        if settings.instance:
            config["group.instance.id"] = settings.instance
        if settings.auto_commit_interval_ms:
            config["auto.commit.interval.ms"] = settings.auto_commit_interval_ms
        config["on_commit"] = self._on_commit
        self.consumer = Consumer(config)

        def on_assign(_consumer, partitions):
            assigned([each.partition for each in partitions])

        def on_revoke(_consumer, partitions):
            taken = [each.partition for each in partitions]
            # What was not handed out yet is the next owner's.
            self.gathered = [each for each in self.gathered if each[0] not in taken]
            revoked(taken)

        self.consumer.subscribe([self.topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)

    def _on_commit(self, error, _partitions):
        # The broker answers in the order of the commits; those that the client made by itself are not ours.
        if self.waiting:
            self.waiting.pop(0)(error)

    def poll(self, seconds):
        # One by one, since a rebalance may come with each.
        while len(self.gathered) < group.BATCH:
            message = self.consumer.poll(0 if self.gathered else seconds)
            if message is None:
                break
            if message.error() is None:
                self.gathered.append((message.partition(), message.offset(), message.timestamp()[1]))
            elif message.error().fatal():
                raise KafkaException(message.error())
            else:
                break  # the broker is restarted
        gathered, self.gathered = self.gathered, []
        return gathered

    def _offsets(self, positions, metadata=""):
        return [TopicPartition(self.topic, each, position, metadata) for each, position in positions.items()]

    def commit(self, positions, metadata=""):
        for each in self.consumer.commit(offsets=self._offsets(positions, metadata), asynchronous=False):
            if each.error is not None:
                raise KafkaException(each.error)

    def commit_async(self, positions, done):
        self.waiting.append(done)
        self.consumer.commit(offsets=self._offsets(positions), asynchronous=True)

    def committed(self, partitions):
        asked = [TopicPartition(self.topic, each) for each in partitions]
        found = self.consumer.committed(asked, timeout=driver.DEADLINE_SECONDS)
        return {each.partition: (each.offset, each.metadata or "") for each in found if each.offset >= 0}

    def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(self.topic, partition, offset))

    def offset_for_time(self, partition, timestamp):
        return look_up(self.consumer, self.topic, partition + 1, timestamp)[partition]

    def close(self):
        self.consumer.close()


def look_up(consumer, topic, partitions, target):
    asked = [TopicPartition(topic, partition, target) for partition in range(partitions)]
    found = [None] * partitions
    for answer in consumer.offsets_for_times(asked, timeout=driver.DEADLINE_SECONDS):
        if answer.error is not None:
            raise KafkaException(answer.error)
        if answer.offset >= 0:
            found[answer.partition] = answer.offset
    return found


def result(futures):
    """The single answer of an admin call, its failure as an ApiError."""
    try:
        return next(iter(futures.values())).result(driver.DEADLINE_SECONDS)
    except KafkaException as error:
        raise driver.ApiError(error.args[0].code(), error.args[0].str()) from error


if __name__ == "__main__":
    driver.main(Confluent)
