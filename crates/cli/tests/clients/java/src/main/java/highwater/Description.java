package highwater;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Everything that a client can learn of a broker's topics, in a form that two brokers can be compared by.
 *
 * <p>Two brokers that serve the same directory have to be described by the same text.
 */
final class Description {
    private static final int TIMES = 9;

    private Description() {}

    static Map<String, Object> describe(Main.Arguments arguments) throws Exception {
        Map<String, Object> topics = new TreeMap<>();
        try (Admin admin = Admin.create(Traffic.properties(arguments));
                KafkaConsumer<byte[], byte[]> all = consumer(arguments, "read_uncommitted");
                KafkaConsumer<byte[], byte[]> committed = consumer(arguments, "read_committed")) {
            TreeSet<String> names = new TreeSet<>(get(admin.listTopics().names()));
            var described = get(admin.describeTopics(names).allTopicNames());
            for (String name : names) {
                Map<String, Object> topic = new LinkedHashMap<>();
                topic.put("id", described.get(name).topicId().toString());
                topic.put("configs", configs(admin, name));
                for (int index = 0; index < described.get(name).partitions().size(); index++) {
                    TopicPartition partition = new TopicPartition(name, index);
                    topic.put("partition " + index, partition(arguments, admin, all, committed, partition));
                }
                topics.put(name, topic);
            }
        }
        return Map.of("topics", topics);
    }

    private static Map<String, Object> configs(Admin admin, String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Map<String, Object> configs = new TreeMap<>();
        for (ConfigEntry entry : get(admin.describeConfigs(List.of(resource)).all()).get(resource).entries()) {
            if (entry.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG) {
                configs.put(entry.name(), entry.value());
            }
        }
        return configs;
    }

    private static Map<String, Object> partition(
            Main.Arguments arguments,
            Admin admin,
            KafkaConsumer<byte[], byte[]> all,
            KafkaConsumer<byte[], byte[]> committed,
            TopicPartition partition)
            throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("start", all.beginningOffsets(List.of(partition)).get(partition));
        line.put("end", all.endOffsets(List.of(partition)).get(partition));
        line.put("last stable", committed.endOffsets(List.of(partition)).get(partition));
        ListOffsetsResult.ListOffsetsResultInfo latest =
                get(admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).all()).get(partition);
        line.put("max timestamp", latest.timestamp() + " at " + latest.offset());
        List<ConsumerRecord<byte[], byte[]>> records = read(all, partition);
        line.put("records", records.size());
        line.put("digest", digest(records));
        List<ConsumerRecord<byte[], byte[]>> visible = read(committed, partition);
        line.put("committed records", visible.size());
        line.put("committed digest", digest(visible));
        line.put("times", times(arguments, all, partition));
        line.put("producers", producers(admin, partition));
        return line;
    }

    private static List<Object> times(
            Main.Arguments arguments, KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition) {
        List<Object> found = new ArrayList<>();
        for (int step = 0; step < TIMES; step++) {
            long target = arguments.records().baseTimestamp() + 10L * arguments.total() * step / (TIMES - 2);
            OffsetAndTimestamp at = consumer.offsetsForTimes(Map.of(partition, target)).get(partition);
            found.add(at == null ? "none" : at.timestamp() + " at " + at.offset() + " of " + at.leaderEpoch());
        }
        return found;
    }

    private static List<Object> producers(Admin admin, TopicPartition partition) throws Exception {
        List<ProducerState> states = new ArrayList<>(get(admin.describeProducers(List.of(partition)).all())
                .get(partition)
                .activeProducers());
        states.sort(Comparator.comparingLong(ProducerState::producerId));
        List<Object> lines = new ArrayList<>();
        states.forEach(state -> lines.add(state.toString()));
        return lines;
    }

    /** Reads until nothing more can come: the consumer also passes what it does not show. */
    static List<ConsumerRecord<byte[], byte[]>> read(
            KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        List<TopicPartition> one = List.of(partition);
        consumer.assign(one);
        consumer.seekToBeginning(one);
        long end = consumer.endOffsets(one).get(partition);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Traffic.DEADLINE_SECONDS);
        while (consumer.position(partition) < end) {
            if (System.nanoTime() > deadline) {
                throw new Main.Mismatch(partition + ": stuck at " + consumer.position(partition) + " of " + end);
            }
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
        }
        return records;
    }

    private static String digest(List<ConsumerRecord<byte[], byte[]>> records) throws IOException {
        CRC32 crc = new CRC32();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            DataOutputStream out = new DataOutputStream(bytes);
            out.writeLong(record.offset());
            out.writeInt(record.leaderEpoch().orElse(-1));
            out.writeLong(record.timestamp());
            out.writeInt(record.timestampType().id);
            write(out, record.key());
            write(out, record.value());
            for (Header header : record.headers()) {
                write(out, header.key().getBytes(StandardCharsets.UTF_8));
                write(out, header.value());
            }
            crc.update(bytes.toByteArray());
        }
        return String.format("%08x", crc.getValue());
    }

    private static void write(DataOutputStream out, byte[] field) throws IOException {
        out.writeInt(field == null ? -1 : field.length);
        if (field != null) {
            out.write(field);
        }
    }

    static KafkaConsumer<byte[], byte[]> consumer(Main.Arguments arguments, String isolation) {
        var properties = Traffic.properties(arguments);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "none");
        properties.put("isolation.level", isolation);
        // The next partition has to wait for the fetch behind the end of the one before.
        properties.put("fetch.max.wait.ms", "10");
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(Traffic.DEADLINE_SECONDS, TimeUnit.SECONDS);
    }
}
