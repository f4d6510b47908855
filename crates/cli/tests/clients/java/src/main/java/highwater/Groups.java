package highwater;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Positions inside a group, and the administration of groups: the phases of {@code group.py}. */
final class Groups {
    private static final Duration DEADLINE = Duration.ofSeconds(Traffic.DEADLINE_SECONDS);

    private Groups() {}

    /** Asks without joining: a member of its own would make the group rebalance. */
    static Map<String, Object> committed(Main.Arguments arguments) throws Exception {
        List<Object> positions = new ArrayList<>();
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            String topic = arguments.option("--topic", "");
            Map<TopicPartition, OffsetAndMetadata> found = offsets(admin, arguments.option("--group", ""));
            for (int partition = 0; partition < arguments.records().partitions(); partition++) {
                OffsetAndMetadata position = found.get(new TopicPartition(topic, partition));
                positions.add(position == null ? -1L : position.offset());
            }
        }
        return Map.of("positions", positions);
    }

    static Map<String, Object> positions(Main.Arguments arguments) throws Exception {
        String name = arguments.option("--group", "") + "-positions";
        List<Records.Item> items = topic(arguments, name, 1, 200);
        Properties properties = Membership.properties(arguments, name);
        List<String> done = new ArrayList<>();
        try (Position one = new Position(properties, name)) {
            one.expectNext(0, "the start without a committed position");
            one.seek(77);
            one.expectNext(77, "seek by offset");
            done.add("seek by offset");
            long target = items.get(120).timestamp();
            long want = 0;
            while (items.get((int) want).timestamp() < target) {
                want++;
            }
            one.seek(one.consumer.offsetsForTimes(Map.of(one.partition, target)).get(one.partition).offset());
            one.expectNext(want, "seek by time");
            done.add("seek by time");

            OffsetAndMetadata first = Membership.position(31, 0, "müsli");
            one.consumer.commitSync(Map.of(one.partition, first));
            Administration.equal("committed synchronously", first, one.committed());
            done.add("synchronous commit");
            OffsetAndMetadata second = new OffsetAndMetadata(42);
            List<Object> answers = new ArrayList<>();
            one.consumer.commitAsync(
                    Map.of(one.partition, second), (ignored, error) -> answers.add(error == null ? "done" : error));
            Administration.until(() -> one.poll() && !answers.isEmpty(), "the answer to the asynchronous commit");
            Administration.equal("the asynchronous commit", List.of("done"), answers);
            Administration.equal("committed asynchronously", second, one.committed());
            done.add("asynchronous commit");
        }
        properties.put("enable.auto.commit", "true");
        autoCommit(properties, name);
        done.add("auto-commit every 5 s");
        return Map.of("exercised", done);
    }

    private static void autoCommit(Properties properties, String name) throws Exception {
        long started = System.nanoTime();
        try (Position one = new Position(properties, name)) {
            for (int offset = 42; offset < 200; offset++) {
                one.expectNext(offset, "the return to the group");
            }
            Administration.until(() -> one.poll() && one.committed().offset() == 200, "a commit by the client itself");
        }
        if (System.nanoTime() - started < TimeUnit.MILLISECONDS.toNanos(4900)) {
            throw new Main.Mismatch("the client did not wait 5 s before its first commit");
        }
    }

    static Map<String, Object> administer(Main.Arguments arguments) throws Exception {
        String name = arguments.option("--group", "") + "-admin";
        topic(arguments, name, 2, 9);
        TopicPartition zero = new TopicPartition(name, 0);
        TopicPartition one = new TopicPartition(name, 1);
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            try (Position member = new Position(Membership.properties(arguments, name), name)) {
                member.expectNext(0, "the start");
                member.consumer.commitSync(Map.of(zero, new OffsetAndMetadata(3), one, new OffsetAndMetadata(0)));
                Administration.equal("the group is listed", true, isListed(admin, name));
                ConsumerGroupDescription description = describe(admin, name);
                Administration.equal("state of the group", GroupState.STABLE, description.groupState());
                Administration.equal("members", 1, description.members().size());
                Administration.equal(
                        "what the member has",
                        Set.of(zero, one),
                        description.members().iterator().next().assignment().topicPartitions());
                Administration.expect(
                        GroupNotEmptyException.class,
                        admin.deleteConsumerGroups(List.of(name)).all());
            }
            Administration.equal("state of the left group", GroupState.EMPTY, describe(admin, name).groupState());
            Administration.equal(
                    "offsets",
                    Map.of(zero, new OffsetAndMetadata(3), one, new OffsetAndMetadata(0)),
                    offsets(admin, name));
            Map<TopicPartition, OffsetAndMetadata> altered = Map.of(zero, Membership.position(5, 0, "altered"));
            Administration.get(admin.alterConsumerGroupOffsets(name, altered).all());
            Administration.get(admin.deleteConsumerGroupOffsets(name, Set.of(one)).all());
            Administration.equal("offsets left", altered, offsets(admin, name));
            Administration.get(admin.deleteConsumerGroups(List.of(name)).all());
            Administration.equal("the deleted group is listed", false, isListed(admin, name));
        }
        return Map.of(
                "exercised",
                List.of("list groups", "describe groups", "list offsets", "alter offsets", "delete offsets", "delete groups"));
    }

    private static boolean isListed(Admin admin, String name) throws Exception {
        return Administration.get(admin.listGroups().all()).stream()
                .anyMatch(each -> each.groupId().equals(name));
    }

    private static ConsumerGroupDescription describe(Admin admin, String name) throws Exception {
        return Administration.get(admin.describeConsumerGroups(List.of(name)).all()).get(name);
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsets(Admin admin, String name) throws Exception {
        return Administration.get(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata());
    }

    /** A topic of its own with records in the first partition. */
    private static List<Records.Item> topic(Main.Arguments arguments, String name, int partitions, int count)
            throws Exception {
        Records given = arguments.records();
        List<Records.Item> items = new Records(given.seed(), 1, given.baseTimestamp(), Set.of()).stream(0, count);
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            Administration.get(admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1))).all());
            Traffic.awaitLeaders(admin, name, partitions);
        }
        Traffic.send(arguments, name, "none", items);
        return items;
    }

    /** A member whose records of the first partition are taken one by one. */
    private static final class Position implements AutoCloseable {
        final TopicPartition partition;
        final KafkaConsumer<byte[], byte[]> consumer;
        private final Deque<Long> queue = new ArrayDeque<>();

        Position(Properties properties, String topic) {
            partition = new TopicPartition(topic, 0);
            consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            consumer.subscribe(List.of(topic));
        }

        boolean poll() {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(50))) {
                queue.add(record.offset());
            }
            return true;
        }

        void expectNext(long offset, String after) throws Exception {
            Administration.until(() -> !queue.isEmpty() || poll() && !queue.isEmpty(), "a record after " + after);
            Administration.equal("record after " + after, offset, queue.remove());
        }

        void seek(long offset) {
            consumer.seek(partition, offset);
            queue.clear();
        }

        OffsetAndMetadata committed() {
            return consumer.committed(Collections.singleton(partition), DEADLINE).get(partition);
        }

        @Override
        public void close() {
            consumer.close();
        }
    }
}
