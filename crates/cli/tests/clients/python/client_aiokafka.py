"""aiokafka as one of the clients of `driver.py`."""

import asyncio

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

import driver
import group
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

    def group_consumer(self, settings, assigned, revoked):
        return AioKafkaGroup(self.bootstrap, settings, assigned, revoked)

    def groups(self):
        return [each[0] for each in self._admin(lambda admin: admin.list_consumer_groups())]

    def describe_group(self, name):
        answer = self._admin(lambda admin: admin.describe_consumer_groups([name]))[0]
        described = answer.to_object()["groups"][0]
        check([(name, described["error_code"])])
        return described["state"].lower(), len(described["members"])

    def group_offsets(self, name, topic, _partitions):
        found = self._admin(lambda admin: admin.list_consumer_group_offsets(name))
        return {
            each.partition: (place.offset, place.metadata)
            for each, place in found.items()
            if each.topic == topic and place.offset >= 0
        }


class AioKafkaGroup(group.GroupConsumer):
    """Drives the event loop for as long as a call takes: heartbeats go out while `poll` waits."""

    def __init__(self, bootstrap, settings, assigned, revoked):
        self.topic = settings.topic
        self.loop = asyncio.new_event_loop()
        self.owned = set()
        # Set while records are out that are not committed: until then a rebalance has to wait.
        self.idle = None
        config = {"auto_commit_interval_ms": settings.auto_commit_interval_ms} if settings.auto_commit_interval_ms else {}

        class Listener(ConsumerRebalanceListener):
            async def on_partitions_assigned(_, partitions):
                given = [each.partition for each in partitions]
                self.owned.update(given)
                assigned(given)

            async def on_partitions_revoked(_, partitions):
                await self.idle.wait()
                taken = [each.partition for each in partitions]
                self.owned.difference_update(taken)
                if taken:
                    revoked(taken)

        async def start():
            self.idle = asyncio.Event()
            self.idle.set()
            self.consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap,
                group_id=settings.group,
                group_instance_id=settings.instance,
                enable_auto_commit=settings.auto_commit,
                auto_offset_reset="earliest",
                session_timeout_ms=settings.session_ms,
                heartbeat_interval_ms=500,
                fetch_max_wait_ms=100,
                **config,
            )
            self.consumer.subscribe([self.topic], listener=Listener())
            await self.consumer.start()

        self._wait(start())

    def _wait(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, driver.DEADLINE_SECONDS))

    def poll(self, seconds):
        async def poll():
            self.idle.set()
            found = await self.consumer.getmany(timeout_ms=int(1000 * seconds), max_records=group.BATCH)
            got = [
                (each.partition, each.offset, each.timestamp)
                for records in found.values()
                for each in records
                # What was under way when the partition was taken away is the next owner's.
                if each.partition in self.owned
            ]
            if got:
                self.idle.clear()
            return got

        return self._wait(poll())

    def _offsets(self, positions, metadata=""):
        return {TopicPartition(self.topic, each): (position, metadata) for each, position in positions.items()}

    def commit(self, positions, metadata=""):
        self._wait(self.consumer.commit(self._offsets(positions, metadata)))

    def commit_async(self, positions, done):
        async def commit():
            try:
                await self.consumer.commit(self._offsets(positions))
            except KafkaError as error:
                done(error)
            else:
                done(None)

        self.pending = self.loop.create_task(commit())

    def committed(self, partitions):
        # The library's call gives no metadata, its fetch does.
        where = {TopicPartition(self.topic, each) for each in partitions}
        found = self._wait(self.consumer._coordinator.fetch_committed_offsets(where))
        return {each.partition: (place.offset, place.metadata) for each, place in found.items()}

    def seek(self, partition, offset):
        self.consumer.seek(TopicPartition(self.topic, partition), offset)

    def offset_for_time(self, partition, timestamp):
        where = TopicPartition(self.topic, partition)
        return self._wait(self.consumer.offsets_for_times({where: timestamp}))[where].offset

    def close(self):
        self.idle.set()
        self._wait(self.consumer.stop())


def check(errors):
    """Turns an error code inside an answer into the exception it stands for."""
    for name, code, *message in errors:
        if code != 0:
            raise driver.ApiError(code, f"{name} {message}")


if __name__ == "__main__":
    driver.main(AioKafka)
