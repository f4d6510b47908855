package highwater;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** A member of a consumer group that prints what it does, and the producer that keeps it busy: see {@code group.py}. */
final class Membership implements ConsumerRebalanceListener {
    /** Of the feed, before it looks whether it is to end. */
    private static final int ROUNDS = 5;

    private final boolean async;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private Map<TopicPartition, OffsetAndMetadata> positions = new LinkedHashMap<>();

    private Membership(Main.Arguments arguments) {
        async = "async".equals(arguments.option("--commit", "sync"));
        Properties properties = properties(arguments, arguments.option("--group", ""));
        properties.put("max.poll.records", "50");
        String instance = arguments.option("--instance", "");
        if (!instance.isEmpty()) {
            properties.put("group.instance.id", instance);
        }
        consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Settings of a member with either protocol; it commits only when told to. */
    static Properties properties(Main.Arguments arguments, String group) {
        Properties properties = Traffic.properties(arguments);
        String protocol = arguments.option("--protocol", "classic");
        properties.put("group.id", group);
        properties.put("group.protocol", protocol);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("fetch.max.wait.ms", "100");
        if (protocol.equals("classic")) {
            properties.put("session.timeout.ms", arguments.option("--session-ms", "10000"));
            properties.put("heartbeat.interval.ms", "500");
        }
        return properties;
    }

    static Map<String, Object> member(Main.Arguments arguments) {
        new Membership(arguments).run(arguments.option("--topic", ""));
        return Map.of();
    }

    private void run(String topic) {
        CountDownLatch ended = stdinEnd();
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            while (ended.getCount() > 0) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                if (!records.isEmpty()) {
                    List<Object> pairs = new ArrayList<>();
                    for (ConsumerRecord<byte[], byte[]> record : records) {
                        pairs.add(List.of(record.partition(), record.offset()));
                    }
                    say("consumed", "records", pairs);
                    positions.putAll(records.nextOffsets());
                    commit(!async);
                }
            }
            commit(true);
        }
    }

    private void commit(boolean wait) {
        Map<TopicPartition, OffsetAndMetadata> committing = positions;
        positions = new LinkedHashMap<>();
        if (committing.isEmpty()) {
            return;
        }
        Map<Integer, Long> sorted = new TreeMap<>();
        committing.forEach((partition, position) -> sorted.put(partition.partition(), position.offset()));
        List<Object> pairs = new ArrayList<>();
        sorted.forEach((partition, position) -> pairs.add(List.of(partition, position)));
        say("committing", "positions", pairs);
        if (!wait) {
            consumer.commitAsync(
                    committing, (ignored, error) -> say(error == null ? "committed" : "refused", "positions", pairs));
            return;
        }
        try {
            consumer.commitSync(committing);
            say("committed", "positions", pairs);
        } catch (KafkaException error) { // a rebalance is in the way: the next owner reads these records again
            say("refused", "positions", pairs);
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("assigned", "partitions", numbers(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit(true);
        say("revoked", "partitions", numbers(partitions));
    }

    private static List<Integer> numbers(Collection<TopicPartition> partitions) {
        return partitions.stream().map(TopicPartition::partition).sorted().toList();
    }

    /** One record for each partition per round: the count of rounds is the end of every partition. */
    static Map<String, Object> feed(Main.Arguments arguments) throws Exception {
        CountDownLatch ended = stdinEnd();
        String topic = arguments.option("--topic", "");
        int rounds = arguments.first();
        boolean last;
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                Traffic.properties(arguments), new ByteArraySerializer(), new ByteArraySerializer())) {
            do {
                // The end is looked at before the round, so that what was asked for is written in any case.
                last = ended.await(200, TimeUnit.MILLISECONDS);
                for (Records.Item item : arguments.records().stream(rounds, ROUNDS)) {
                    for (int partition = 0; partition < arguments.records().partitions(); partition++) {
                        producer.send(new ProducerRecord<>(
                                topic, partition, item.timestamp(), item.key(), item.value(), List.of(item.headers())));
                    }
                }
                producer.flush();
                rounds += ROUNDS;
                say("fed", "rounds", rounds);
            } while (!last);
        }
        return Map.of("rounds", rounds);
    }

    private static CountDownLatch stdinEnd() {
        CountDownLatch ended = new CountDownLatch(1);
        Thread thread = new Thread(() -> {
            try {
                System.in.readAllBytes();
            } catch (IOException error) { // no more can come
                error.printStackTrace();
            }
            ended.countDown();
        });
        thread.setDaemon(true);
        thread.start();
        return ended;
    }

    /** {@code at} is CLOCK_MONOTONIC on Linux, as in the events of the other clients. */
    private static void say(String event, String field, Object value) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", event);
        line.put("at", System.nanoTime());
        line.put(field, value);
        System.out.println(Json.write(line));
    }

    /** A committed position with everything that the API lets be committed. */
    static OffsetAndMetadata position(long offset, int leaderEpoch, String metadata) {
        return new OffsetAndMetadata(offset, Optional.of(leaderEpoch), metadata);
    }
}
