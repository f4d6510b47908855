package highwater;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Producing, reading back and looking up by time. */
final class Traffic {
    static final int DEADLINE_SECONDS = 60;

    private Traffic() {}

    static Map<String, Object> produce(Main.Arguments arguments) throws Exception {
        List<Records.Item> items = arguments.records().stream(arguments.first(), arguments.count());
        List<Object> done = new ArrayList<>();
        try (Admin admin = Admin.create(properties(arguments))) {
            for (String codec : arguments.codecs()) {
                String topic = arguments.topic(codec);
                if (arguments.first() == 0) {
                    admin.createTopics(List.of(new NewTopic(topic, arguments.records().partitions(), (short) 1)))
                            .all()
                            .get(DEADLINE_SECONDS, TimeUnit.SECONDS);
                    awaitLeaders(admin, topic, arguments.records().partitions());
                }
                send(arguments, topic, codec, items);
                done.add(Main.report(topic, codec, items.size()));
            }
        }
        return Map.of("topics", done);
    }

    /**
     * Returns when all leaders answer. Kafka's do so only a moment after a topic was created, until when it may even be
     * unknown, and an idempotent producer whose first batch is turned away while its second is taken never gets its
     * sequence right again.
     */
    static void awaitLeaders(Admin admin, String topic, int count) throws Exception {
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        partitions(topic, count).forEach(partition -> asked.put(partition, OffsetSpec.latest()));
        Administration.until(
                () -> admin.listOffsets(asked).all().get(DEADLINE_SECONDS, TimeUnit.SECONDS).size() == count,
                "leaders of " + topic);
    }

    /** Sends with the client's defaults, which make it idempotent; only the codec is set. */
    static void send(Main.Arguments arguments, String topic, String codec, List<Records.Item> items)
            throws Exception {
        Properties properties = properties(arguments);
        properties.put("compression.type", codec);
        List<Future<RecordMetadata>> sent = new ArrayList<>(items.size());
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (Records.Item item : items) {
                sent.add(producer.send(new ProducerRecord<>(
                        topic, item.partition(), item.timestamp(), item.key(), item.value(), List.of(item.headers()))));
            }
            for (Future<RecordMetadata> future : sent) {
                future.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
            }
        }
    }

    static Map<String, Object> verify(Main.Arguments arguments) throws IOException {
        List<List<Records.Item>> want = arguments.records().byPartition(arguments.total());
        List<Object> done = new ArrayList<>();
        for (String codec : arguments.codecs()) {
            String topic = arguments.topic(codec);
            List<List<Records.Item>> got = read(arguments, topic);
            int count = 0;
            for (int partition = 0; partition < want.size(); partition++) {
                compare(topic + "-" + partition, want.get(partition), got.get(partition));
                count += got.get(partition).size();
            }
            Map<String, Object> entry = Main.report(topic, codec, count);
            entry.put("digest", Records.digest(got));
            done.add(entry);
        }
        return Map.of("topics", done);
    }

    private static List<List<Records.Item>> read(Main.Arguments arguments, String topic) {
        List<List<Records.Item>> got = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(arguments)) {
            List<TopicPartition> partitions = partitions(topic, arguments.records().partitions());
            partitions.forEach(partition -> got.add(new ArrayList<>()));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            int left = arguments.total();
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_SECONDS);
            while (left > 0 && System.nanoTime() < deadline) {
                for (ConsumerRecord<byte[], byte[]> each : consumer.poll(Duration.ofMillis(500))) {
                    List<Records.Item> items = got.get(each.partition());
                    if (each.offset() != items.size()) {
                        throw new Main.Mismatch(topic + "-" + each.partition() + ": offset " + each.offset()
                                + " came back where " + items.size() + " is due");
                    }
                    items.add(new Records.Item(
                            each.partition(), each.timestamp(), each.key(), each.value(), each.headers().toArray()));
                    left--;
                }
            }
        }
        return got;
    }

    private static void compare(String where, List<Records.Item> want, List<Records.Item> got) {
        for (int offset = 0; offset < want.size(); offset++) {
            if (offset >= got.size()) {
                throw new Main.Mismatch(
                        where + " offset " + offset + ": missing, " + got.size() + " of " + want.size() + " came back");
            }
            String difference = want.get(offset).difference(got.get(offset));
            if (difference != null) {
                throw new Main.Mismatch(where + " offset " + offset + ": " + difference);
            }
        }
        if (got.size() > want.size()) {
            throw new Main.Mismatch(where + ": " + (got.size() - want.size()) + " records too many");
        }
    }

    static Map<String, Object> times(Main.Arguments arguments) {
        Records records = arguments.records();
        List<List<Records.Item>> split = records.byPartition(arguments.total());
        List<Long> targets = new ArrayList<>(
                List.of(0L, records.baseTimestamp(), records.baseTimestamp() + 10L * arguments.total()));
        for (int step = 1; step < 7; step++) {
            targets.add(records.baseTimestamp() + 10L * arguments.total() * step / 7 + 3);
        }
        int lookedUp = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(arguments)) {
            for (String codec : arguments.codecs()) {
                List<TopicPartition> partitions = partitions(arguments.topic(codec), records.partitions());
                Map<TopicPartition, Long> first = consumer.beginningOffsets(partitions);
                Map<TopicPartition, Long> last = consumer.endOffsets(partitions);
                for (TopicPartition partition : partitions) {
                    long size = split.get(partition.partition()).size();
                    if (first.get(partition) != 0 || last.get(partition) != size) {
                        throw new Main.Mismatch(partition + ": bounds " + first.get(partition) + ".."
                                + last.get(partition) + ", not 0.." + size);
                    }
                }
                for (long target : targets) {
                    Map<TopicPartition, Long> asked = new HashMap<>();
                    partitions.forEach(partition -> asked.put(partition, target));
                    Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(asked);
                    for (TopicPartition partition : partitions) {
                        checkTime(partition, target, split.get(partition.partition()), found.get(partition));
                        lookedUp++;
                    }
                }
            }
        }
        return Map.of("looked_up", lookedUp);
    }

    private static void checkTime(
            TopicPartition partition, long target, List<Records.Item> items, OffsetAndTimestamp found) {
        int want = 0;
        while (want < items.size() && items.get(want).timestamp() < target) {
            want++;
        }
        boolean right = want == items.size()
                ? found == null
                : found != null
                        && found.offset() == want
                        && found.timestamp() == items.get(want).timestamp();
        if (!right) {
            throw new Main.Mismatch(partition + ": time " + target + " is at " + found + ", not at offset " + want);
        }
    }

    static KafkaConsumer<byte[], byte[]> consumer(Main.Arguments arguments) {
        Properties properties = properties(arguments);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("max.poll.records", "5000");
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static Properties properties(Main.Arguments arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments.bootstrap());
        return properties;
    }

    private static List<TopicPartition> partitions(String topic, int count) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int partition = 0; partition < count; partition++) {
            partitions.add(new TopicPartition(topic, partition));
        }
        return partitions;
    }
}
