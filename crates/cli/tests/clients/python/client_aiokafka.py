"""aiokafka as one of the clients of `driver.py`."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

import driver
from records import KEY_AND_VALUE_NULL, Record


class AioKafka(driver.Client):
    name = "aiokafka"
    variants = (("", False), ("-idempotent", True))
    refused = (KEY_AND_VALUE_NULL,)

    def version(self):
        return aiokafka.__version__

    def produce(self, case, records):
        asyncio.run(self._produce(case, records))

    async def _produce(self, case, records):
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if case.codec == "none" else case.codec,
            enable_idempotence=case.idempotent,
            linger_ms=5,
        )
        await producer.start()
        try:
            futures = []
            for each in records:
                futures.append(
                    await producer.send(
                        case.topic,
                        key=each.key,
                        value=each.value,
                        partition=each.partition,
                        timestamp_ms=each.timestamp,
                        headers=list(each.headers),
                    )
                )
            await asyncio.wait_for(asyncio.gather(*futures), driver.DEADLINE_SECONDS)
        finally:
            await producer.stop()

    async def _with_consumer(self, topic, partitions, run):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=True,
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            asked = [TopicPartition(topic, partition) for partition in partitions]
            consumer.assign(asked)
            return await asyncio.wait_for(run(consumer, asked), driver.DEADLINE_SECONDS)
        finally:
            await consumer.stop()

    def consume(self, topic, counts):
        got = [[] for _ in counts]

        async def run(consumer, _asked):
            await consumer.seek_to_beginning()
            while sum(map(len, got)) < sum(counts):
                for partition, messages in (await consumer.getmany(timeout_ms=500)).items():
                    got[partition.partition] += [
                        (
                            each.offset,
                            Record(each.partition, each.timestamp, each.key, each.value, tuple(each.headers)),
                        )
                        for each in messages
                    ]

        try:
            asyncio.run(self._with_consumer(topic, range(len(counts)), run))
        except asyncio.TimeoutError:
            pass  # the comparison says what is missing
        return got

    def bounds(self, topic, partitions):
        async def run(consumer, asked):
            first, last = await consumer.beginning_offsets(asked), await consumer.end_offsets(asked)
            return [(first[each], last[each]) for each in asked]

        return asyncio.run(self._with_consumer(topic, range(partitions), run))

    def offsets_for_times(self, topic, partitions, targets):
        async def run(consumer, asked):
            answers = [await consumer.offsets_for_times(dict.fromkeys(asked, target)) for target in targets]
            return [[found[each] and found[each].offset for each in asked] for found in answers]

        return asyncio.run(self._with_consumer(topic, range(partitions), run))

    def _admin(self, run):
        async def connected():
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            await admin.start()
            try:
                return await asyncio.wait_for(run(admin), driver.DEADLINE_SECONDS)
            except KafkaError as error:
                raise driver.ApiError(error.errno, str(error)) from error
            finally:
                await admin.close()

        return asyncio.run(connected())

    def create_topic(self, topic, partitions, configs):
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, topic_configs=configs)
        check(self._admin(lambda admin: admin.create_topics([new])).topic_errors)

    def delete_topic(self, topic):
        check(self._admin(lambda admin: admin.delete_topics([topic])).topic_error_codes)

    def topics(self):
        found = self._admin(lambda admin: admin.describe_topics())
        return {topic["topic"]: len(topic["partitions"]) for topic in found}

    def describe_configs(self, topic):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        answers = self._admin(lambda admin: admin.describe_configs([resource]))
        code, message, _type, _name, entries = answers[0].resources[0]
        check([(topic, code, message)])
        return {entry[0]: entry[1] for entry in entries}

    def alter_configs(self, topic, configs):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs)
        answers = self._admin(lambda admin: admin.alter_configs([resource]))
        code, message, _type, _name = answers[0].resources[0]
        check([(topic, code, message)])

    def create_partitions(self, topic, total):
        answer = self._admin(lambda admin: admin.create_partitions({topic: NewPartitions(total)}))
        check(answer.topic_errors)

    def delete_records(self, topic, partition, before):
        where = TopicPartition(topic, partition)
        return self._admin(lambda admin: admin.delete_records({where: RecordsToDelete(before)}))[where]

    def describe_cluster(self):
        found = self._admin(lambda admin: admin.describe_cluster())
        return found["cluster_id"], [broker["node_id"] for broker in found["brokers"]]


def check(errors):
    """Turns an error code inside an answer into the exception it stands for."""
    for name, code, *message in errors:
        if code != 0:
            raise driver.ApiError(code, f"{name} {message}")


if __name__ == "__main__":
    driver.main(AioKafka)
