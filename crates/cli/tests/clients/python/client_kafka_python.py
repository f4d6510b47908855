"""kafka-python as one of the clients of `driver.py`."""

import re
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

import driver
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


if __name__ == "__main__":
    driver.main(KafkaPython)
