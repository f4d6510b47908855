package highwater;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Topics of one partition with a past: retained, transactional, compacted; and what has to be read from them. */
final class Histories {
    private static final TopicPartition RETAINED = new TopicPartition("retained", 0);
    private static final TopicPartition TRANSACTIONS = new TopicPartition("transactions", 0);
    private static final TopicPartition COMPACTED = new TopicPartition("compacted", 0);
    /** Records that DeleteRecords leaves. */
    private static final int RETAINED_RECORDS = 150;
    /** Records of a transaction before the other one has its turn; each has two turns. */
    private static final int TURN = 25;

    private static final int KEYS = 40;

    private Histories() {}

    /** Fills a topic whose first segments go by their size, and then moves the log's start into a segment. */
    static Map<String, Object> retained(Main.Arguments arguments) throws Exception {
        create(arguments, RETAINED, Map.of("retention.bytes", "100000"));
        List<Records.Item> items = items(arguments);
        try (KafkaProducer<byte[], byte[]> producer = producer(arguments, "snappy", null)) {
            send(producer, RETAINED, items);
        }
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            var before = RecordsToDelete.beforeOffset(items.size() - RETAINED_RECORDS);
            admin.deleteRecords(Map.of(RETAINED, before)).all().get(Traffic.DEADLINE_SECONDS, TimeUnit.SECONDS);
        }
        return Map.of();
    }

    static Map<String, Object> verifyRetained(Main.Arguments arguments) {
        List<Records.Item> items = items(arguments);
        return verify(
                arguments, RETAINED, "read_uncommitted", items.subList(items.size() - RETAINED_RECORDS, items.size()));
    }

    /** Only makes the topics named, for one who writes them otherwise. */
    static Map<String, Object> create(Main.Arguments arguments) throws Exception {
        for (String topic : arguments.topics()) {
            create(arguments, new TopicPartition(topic, 0), Map.of());
        }
        return Map.of();
    }

    /** Deletes the topics named. */
    static Map<String, Object> delete(Main.Arguments arguments) throws Exception {
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            admin.deleteTopics(arguments.topics()).all().get(Traffic.DEADLINE_SECONDS, TimeUnit.SECONDS);
        }
        return Map.of();
    }

    /**
     * Pairs of transactions that overlap: the first of each is committed, the second aborted, but for the last, which
     * stays open. The same plan stands in {@code offline.rs}.
     */
    static Map<String, Object> transactions(Main.Arguments arguments) throws Exception {
        List<Records.Item> items = items(arguments);
        KafkaProducer<byte[], byte[]> committing = producer(arguments, "zstd", "interchange-commits");
        KafkaProducer<byte[], byte[]> aborting = producer(arguments, "none", "interchange-aborts");
        committing.initTransactions();
        aborting.initTransactions();
        for (int first = 0; first < items.size(); first += 4 * TURN) {
            committing.beginTransaction();
            aborting.beginTransaction();
            for (int turn = 0; turn < 4; turn++) {
                int at = first + turn * TURN;
                send(turn % 2 == 0 ? committing : aborting, TRANSACTIONS, items.subList(at, at + TURN));
            }
            if (first + 4 * TURN < items.size()) {
                aborting.abortTransaction();
            }
            committing.commitTransaction();
        }
        committing.close();
        // Closing the other would abort what is to stay open; its thread does not outlive the program.
        return Map.of();
    }

    /** What is committed comes back, up to the transaction that is open, and nothing else. */
    static Map<String, Object> verifyTransactions(Main.Arguments arguments) {
        List<Records.Item> items = items(arguments);
        verify(arguments, TRANSACTIONS, "read_uncommitted", items);
        return verify(arguments, TRANSACTIONS, "read_committed", committed(items, items.size() - 3 * TURN));
    }

    /** The same once the open transaction has been aborted. */
    static Map<String, Object> verifyTransactionsEnded(Main.Arguments arguments) {
        List<Records.Item> items = items(arguments);
        return verify(arguments, TRANSACTIONS, "read_committed", committed(items, items.size()));
    }

    /** A producer of the same name comes back, which ends what it left open. */
    static Map<String, Object> endTransactions(Main.Arguments arguments) {
        try (KafkaProducer<byte[], byte[]> producer = producer(arguments, "none", "interchange-aborts")) {
            producer.initTransactions();
        }
        return Map.of();
    }

    private static List<Records.Item> committed(List<Records.Item> items, int end) {
        List<Records.Item> committed = new ArrayList<>();
        for (int at = 0; at < end; at++) {
            if (at / TURN % 2 == 0) {
                committed.add(items.get(at));
            }
        }
        return committed;
    }

    static Map<String, Object> createCompacted(Main.Arguments arguments) throws Exception {
        create(arguments, COMPACTED, Map.of("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01"));
        return Map.of();
    }

    /**
     * Few keys, each written often; tombstones; an aborted and a committed transaction in the middle. The same plan
     * stands in {@code offline.rs}.
     */
    static Map<String, Object> compacted(Main.Arguments arguments) throws Exception {
        List<Records.Item> items = keyed(arguments);
        int third = items.size() / 3;
        try (KafkaProducer<byte[], byte[]> plain = producer(arguments, "lz4", null);
                KafkaProducer<byte[], byte[]> transactional = producer(arguments, "gzip", "interchange-compacted")) {
            send(plain, COMPACTED, items.subList(0, third));
            transactional.initTransactions();
            transactional.beginTransaction();
            send(transactional, COMPACTED, reversed(items.subList(0, third)));
            transactional.abortTransaction();
            transactional.beginTransaction();
            send(transactional, COMPACTED, items.subList(third, 2 * third));
            transactional.commitTransaction();
            send(plain, COMPACTED, items.subList(2 * third, items.size()));
        }
        return Map.of();
    }

    /** The latest value of each key is there, and much of what was before it is not. */
    static Map<String, Object> verifyCompacted(Main.Arguments arguments) {
        Map<String, byte[]> want = new HashMap<>();
        for (Records.Item item : keyed(arguments)) {
            put(want, item.key(), item.value());
        }
        Map<String, byte[]> got = new HashMap<>();
        List<ConsumerRecord<byte[], byte[]>> records;
        try (KafkaConsumer<byte[], byte[]> consumer = Description.consumer(arguments, "read_committed")) {
            records = Description.read(consumer, COMPACTED);
        }
        records.forEach(record -> put(got, record.key(), record.value()));
        if (!want.keySet().equals(got.keySet())) {
            throw new Main.Mismatch(COMPACTED + ": keys " + got.keySet() + ", not " + want.keySet());
        }
        want.forEach((key, value) -> {
            if (!Arrays.equals(value, got.get(key))) {
                throw new Main.Mismatch(COMPACTED + ": another value of " + key);
            }
        });
        if (records.size() > arguments.total() / 2) {
            throw new Main.Mismatch(COMPACTED + ": " + records.size() + " of " + arguments.total() + " records remain");
        }
        return Map.of("remaining", records.size());
    }

    /** A consumer of a group commits an offset, which makes a broker keep groups. */
    static Map<String, Object> group(Main.Arguments arguments) {
        Properties properties = Traffic.properties(arguments);
        properties.put("group.id", "interchange");
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(List.of(RETAINED));
            consumer.commitSync(
                    Map.of(RETAINED, new OffsetAndMetadata(1, "here")), Duration.ofSeconds(Traffic.DEADLINE_SECONDS));
        }
        return Map.of();
    }

    private static Map<String, Object> verify(
            Main.Arguments arguments, TopicPartition partition, String isolation, List<Records.Item> want) {
        List<ConsumerRecord<byte[], byte[]>> got;
        try (KafkaConsumer<byte[], byte[]> consumer = Description.consumer(arguments, isolation)) {
            got = Description.read(consumer, partition);
        }
        for (int at = 0; at < Math.min(want.size(), got.size()); at++) {
            ConsumerRecord<byte[], byte[]> record = got.get(at);
            Records.Item item = new Records.Item(
                    0, record.timestamp(), record.key(), record.value(), record.headers().toArray());
            String difference = want.get(at).difference(item);
            if (difference != null) {
                throw new Main.Mismatch(partition + " " + isolation + ", record " + at + ": " + difference);
            }
        }
        if (got.size() != want.size()) {
            throw new Main.Mismatch(
                    partition + " " + isolation + ": " + got.size() + " records, not " + want.size());
        }
        return Map.of("records", got.size());
    }

    private static void create(Main.Arguments arguments, TopicPartition partition, Map<String, String> configs)
            throws Exception {
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            admin.createTopics(List.of(new NewTopic(partition.topic(), 1, (short) 1).configs(configs)))
                    .all()
                    .get(Traffic.DEADLINE_SECONDS, TimeUnit.SECONDS);
            Traffic.awaitLeaders(admin, partition.topic(), 1);
        }
    }

    private static KafkaProducer<byte[], byte[]> producer(Main.Arguments arguments, String codec, String transactions) {
        Properties properties = Traffic.properties(arguments);
        properties.put("compression.type", codec);
        // Many batches, of which a segment and a pass of the cleaner can end behind any.
        properties.put("batch.size", "2048");
        if (transactions != null) {
            properties.put("transactional.id", transactions);
            // What stays open has to stay so until the end of the test.
            properties.put("transaction.timeout.ms", "900000");
        }
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Sends and waits; what fails is told by the end of the transaction or by the comparison. */
    private static void send(
            KafkaProducer<byte[], byte[]> producer, TopicPartition partition, List<Records.Item> items) {
        for (Records.Item item : items) {
            producer.send(new ProducerRecord<>(
                    partition.topic(),
                    partition.partition(),
                    item.timestamp(),
                    item.key(),
                    item.value(),
                    List.of(item.headers())));
        }
        producer.flush();
    }

    private static List<Records.Item> items(Main.Arguments arguments) {
        return arguments.records().stream(0, arguments.total());
    }

    private static List<Records.Item> keyed(Main.Arguments arguments) {
        List<Records.Item> keyed = new ArrayList<>();
        for (Records.Item item : items(arguments)) {
            int index = keyed.size();
            byte[] key = ("key " + index * 7L % KEYS).getBytes(StandardCharsets.UTF_8);
            byte[] value = index % 11 == 0 ? null : Objects.requireNonNullElse(item.value(), new byte[0]);
            keyed.add(new Records.Item(0, item.timestamp(), key, value, item.headers()));
        }
        return keyed;
    }

    private static List<Records.Item> reversed(List<Records.Item> items) {
        List<Records.Item> reversed = new ArrayList<>(items);
        Collections.reverse(reversed);
        return reversed;
    }

    private static void put(Map<String, byte[]> values, byte[] key, byte[] value) {
        String name = new String(key, StandardCharsets.UTF_8);
        if (value == null) {
            values.remove(name);
        } else {
            values.put(name, value);
        }
    }
}
