"""kafka-python as one of the clients of `driver.py`."""

import re
import time

import kafka
from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    TopicPartition,
)
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaConnectionError, KafkaError, NoError

import driver
import group
from records import KEY_AND_VALUE_NULL, NULL_HEADERS, Record


class KafkaPython(driver.Client):
    name = "kafka-python"
    refused = (NULL_HEADERS, KEY_AND_VALUE_NULL)

    def version(self):
        return kafka.__version__

    def produce(self, case, records):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if case.codec == "none" else case.codec,
            linger_ms=5,
        )
        try:
            futures = [
                producer.send(
                    case.topic,
                    key=each.key,
                    value=each.value,
                    partition=each.partition,
                    timestamp_ms=each.timestamp,
                    headers=list(each.headers),
                )
                for each in records
            ]
            producer.flush(timeout=driver.DEADLINE_SECONDS)
            for future in futures:
                future.get(timeout=1)
        finally:
            producer.close(timeout=5)

    def _consumer(self):
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=True,
            fetch_max_wait_ms=100,
            max_poll_records=5000,
        )

    def consume(self, topic, counts):
        got = [[] for _ in counts]
        consumer = self._consumer()
        try:
            consumer.assign([TopicPartition(topic, partition) for partition in range(len(counts))])
            consumer.seek_to_beginning()
            deadline = time.monotonic() + driver.DEADLINE_SECONDS
            while sum(map(len, got)) < sum(counts) and time.monotonic() < deadline:
                for partition, messages in consumer.poll(timeout_ms=500).items():
                    got[partition.partition] += [
                        (
                            each.offset,
                            Record(each.partition, each.timestamp, each.key, each.value, tuple(each.headers)),
                        )
                        for each in messages
                    ]
        finally:
            consumer.close()
        return got

    def bounds(self, topic, partitions):
        consumer = self._consumer()
        try:
            asked = [TopicPartition(topic, partition) for partition in range(partitions)]
            first, last = consumer.beginning_offsets(asked), consumer.end_offsets(asked)
            return [(first[each], last[each]) for each in asked]
        finally:
            consumer.close()

    def offsets_for_times(self, topic, partitions, targets):
        asked = [TopicPartition(topic, partition) for partition in range(partitions)]
        consumer = self._consumer()
        try:
            answers = [consumer.offsets_for_times(dict.fromkeys(asked, target)) for target in targets]
            return [[found[each] and found[each].offset for each in asked] for found in answers]
        finally:
            consumer.close()

    def _admin(self, run):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            return run(admin)
        except KafkaError as error:
            raise driver.ApiError(error.errno, str(error)) from error
        finally:
            admin.close()

    def create_topic(self, topic, partitions, configs):
        wanted = {topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}}
        self._admin(lambda admin: admin.create_topics(wanted))

    def delete_topic(self, topic):
        self._admin(lambda admin: admin.delete_topics([topic]))

    def topics(self):
        found = self._admin(lambda admin: admin.describe_topics())
        return {topic["name"]: len(topic["partitions"]) for topic in found}

    def describe_configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        found = self._admin(lambda admin: admin.describe_configs([resource], config_filter="all"))
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    def alter_configs(self, topic, configs):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs)
        answer = self._admin(lambda admin: admin.alter_configs([resource]))["topic"][topic]
        # The library gives the error of this one call as text: "[Error 40] InvalidConfigurationError: ..."
        failed = re.match(r"\[Error (\d+)\]", answer)
        if failed:
            raise driver.ApiError(int(failed[1]), answer)
        if answer != "OK":
            raise driver.Mismatch(f"alter configs answered {answer!r}")

    def create_partitions(self, topic, total):
        self._admin(lambda admin: admin.create_partitions({topic: total}))

    def delete_records(self, topic, partition, before):
        where = TopicPartition(topic, partition)
        found = self._admin(lambda admin: admin.delete_records({where: before}))
        return found[where]["low_watermark"]

    def describe_cluster(self):
        found = self._admin(lambda admin: admin.describe_cluster())
        return found["cluster_id"], [broker["broker_id"] for broker in found["brokers"]]

    def group_consumer(self, settings, assigned, revoked):
        return KafkaPythonGroup(self.bootstrap, settings, assigned, revoked)

    def groups(self):
        return [each["group_id"] for each in self._admin(lambda admin: admin.list_groups())]

    def describe_group(self, name):
        described = self._admin(lambda admin: admin.describe_groups([name]))[name]
        if described["error"]:
            raise driver.Mismatch(f"describe groups answered {described['error']}")
        return described["group_state"].lower(), len(described["members"])

    def group_offsets(self, name, topic, _partitions):
        found = self._admin(lambda admin: admin.list_group_offsets({name: None}))[name]
        return {
            each.partition: (place.offset, place.metadata or "")
            for each, place in found.items()
            if each.topic == topic and place.offset >= 0
        }

    def alter_group_offsets(self, name, topic, positions):
        changes = offsets(topic, positions)
        check(self._admin(lambda admin: admin.alter_group_offsets(name, changes)).values())

    def delete_group_offsets(self, name, topic, partitions):
        where = [TopicPartition(topic, partition) for partition in partitions]
        check(self._admin(lambda admin: admin.delete_group_offsets(name, where)).values())

    def delete_group(self, name):
        answer = dict(self._admin(lambda admin: admin.delete_groups([name])))[name]
        # The library gives the error's name; only this one is expected.
        if answer == "NonEmptyGroupError":
            raise driver.ApiError(group.NON_EMPTY_GROUP, answer)
        if answer != "OK":
            raise driver.Mismatch(f"delete groups answered {answer}")


class KafkaPythonGroup(group.GroupConsumer):
    def __init__(self, bootstrap, settings, assigned, revoked):
        self.topic = settings.topic
        config = {"auto_commit_interval_ms": settings.auto_commit_interval_ms} if settings.auto_commit_interval_ms else {}
        if settings.instance:
            config["group_instance_id"] = settings.instance
        self.consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=settings.group,
            enable_auto_commit=settings.auto_commit,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.session_ms,
            heartbeat_interval_ms=500,
            fetch_max_wait_ms=100,
            max_poll_records=group.BATCH,
            **config,
        )

        class Listener(ConsumerRebalanceListener):
            def on_partitions_assigned(self, partitions):
                assigned([each.partition for each in partitions])

            def on_partitions_revoked(self, partitions):
                if partitions:
                    revoked([each.partition for each in partitions])

        self.consumer.subscribe([self.topic], listener=Listener())

    def poll(self, seconds):
        try:
            found = self.consumer.poll(timeout_ms=int(1000 * seconds))
        except KafkaConnectionError:
            return []  # its heartbeat found the broker restarting
        return [(each.partition, each.offset, each.timestamp) for records in found.values() for each in records]

    def commit(self, positions, metadata=""):
        self.consumer.commit(offsets(self.topic, positions, metadata))

    def commit_async(self, positions, done):
        def answered(_offsets, response):
            done(response if isinstance(response, Exception) else None)

        self.consumer.commit_async(offsets(self.topic, positions), callback=answered)

    def committed(self, partitions):
        found = {each: self.consumer.committed(TopicPartition(self.topic, each), metadata=True) for each in partitions}
        return {each: (place.offset, place.metadata or "") for each, place in found.items() if place is not None}

    def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(self.topic, partition), offset)

    def offset_for_time(self, partition, timestamp):
        where = TopicPartition(self.topic, partition)
        return self.consumer.offsets_for_times({where: timestamp})[where].offset

    def close(self):
        self.consumer.close(autocommit=False)


def offsets(topic, positions, metadata=""):
    return {
        TopicPartition(topic, partition): OffsetAndMetadata(position, metadata, -1)
        for partition, position in positions.items()
    }


def check(answers):
    """Turns an error class inside an answer into the exception it stands for."""
    for answer in answers:
        if answer is not NoError:
            raise driver.ApiError(answer.errno, str(answer))


if __name__ == "__main__":
    driver.main(KafkaPython)
