package highwater;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin client: the steps of {@code driver.py}, and the calls that only Java has. */
final class Administration {
    private static final String TOPIC = "java-admin";
    private static final ConfigResource RESOURCE = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);

    private Administration() {}

    static Map<String, Object> run(Main.Arguments arguments) throws Exception {
        List<String> done = new ArrayList<>();
        try (Admin admin = Admin.create(Traffic.properties(arguments))) {
            create(admin);
            done.add("create");
            describeConfigs(admin);
            done.add("describe configs");
            alterConfigs(admin);
            done.add("alter configs");
            addPartitions(admin);
            done.add("add partitions");
            deleteRecords(admin, arguments);
            done.add("delete records");
            describeProducers(admin);
            done.add("describe producers");
            describeLogDirs(admin);
            done.add("describe log dirs");
            delete(admin);
            done.add("delete");
            describeCluster(admin);
            done.add("describe cluster");
        }
        return Map.of("exercised", done);
    }

    private static void create(Admin admin) throws Exception {
        NewTopic topic = new NewTopic(TOPIC, 2, (short) 1)
                .configs(Map.of("retention.ms", "86400000", "cleanup.policy", "delete"));
        get(admin.createTopics(List.of(topic)).all());
        until(() -> partitionCount(admin) == 2, "two partitions");
        NewTopic again = new NewTopic(TOPIC, 2, (short) 1);
        expect(TopicExistsException.class, admin.createTopics(List.of(again)).all());
        NewTopic wrong = new NewTopic(TOPIC + "-bad", 1, (short) 1).configs(Map.of("retention.ms", "soon"));
        expect(InvalidConfigurationException.class, admin.createTopics(List.of(wrong)).all());
    }

    private static void describeConfigs(Admin admin) throws Exception {
        Config config = get(admin.describeConfigs(List.of(RESOURCE)).all()).get(RESOURCE);
        ConfigEntry retention = config.get("retention.ms");
        equal("retention.ms", "86400000", retention.value());
        equal("source of retention.ms", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.source());
        ConfigEntry segment = config.get("segment.bytes");
        equal("segment.bytes", "1073741824", segment.value());
        equal("segment.bytes is a default", true, segment.isDefault());
        Collection<ConfigResource> known = get(admin.listConfigResources(
                        Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions())
                .all());
        equal("listed config resources have the topic", true, known.contains(RESOURCE));
    }

    private static void alterConfigs(Admin admin) throws Exception {
        get(admin.incrementalAlterConfigs(Map.of(RESOURCE, List.of(
                        set("retention.ms", "43200000"),
                        set("max.message.bytes", "2000000"))))
                .all());
        until(() -> "2000000".equals(topicConfig(admin, "max.message.bytes")), "the altered max.message.bytes");
        equal("retention.ms", "43200000", topicConfig(admin, "retention.ms"));
        AlterConfigOp delete =
                new AlterConfigOp(new ConfigEntry("max.message.bytes", ""), AlterConfigOp.OpType.DELETE);
        AlterConfigOp append =
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND);
        get(admin.incrementalAlterConfigs(Map.of(RESOURCE, List.of(delete, append))).all());
        until(() -> "delete,compact".equals(topicConfig(admin, "cleanup.policy")), "the appended cleanup.policy");
        equal("max.message.bytes", "1048588", topicConfig(admin, "max.message.bytes"));
        AlterConfigOp subtract =
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SUBTRACT);
        get(admin.incrementalAlterConfigs(Map.of(RESOURCE, List.of(subtract))).all());
        until(() -> "delete".equals(topicConfig(admin, "cleanup.policy")), "the reduced cleanup.policy");
        expect(
                InvalidConfigurationException.class,
                admin.incrementalAlterConfigs(Map.of(RESOURCE, List.of(set("max.message.bytes", "-7")))).all());
    }

    private static void addPartitions(Admin admin) throws Exception {
        get(admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(5))).all());
        until(() -> partitionCount(admin) == 5, "five partitions");
        expect(
                InvalidPartitionsException.class,
                admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(3))).all());
    }

    private static void deleteRecords(Admin admin, Main.Arguments arguments) throws Exception {
        Records records = new Records(arguments.records().seed(), 1, arguments.records().baseTimestamp(), Set.of());
        List<Records.Item> items = records.stream(0, 200);
        Traffic.send(arguments, TOPIC, "none", items);
        TopicPartition partition = new TopicPartition(TOPIC, 0);
        int latest = 0;
        for (int offset = 1; offset < items.size(); offset++) {
            if (items.get(offset).timestamp() > items.get(latest).timestamp()) {
                latest = offset;
            }
        }
        equal("offset of the latest timestamp", (long) latest, offset(admin, partition, OffsetSpec.maxTimestamp()));
        RecordsToDelete before = RecordsToDelete.beforeOffset(120);
        long low = get(admin.deleteRecords(Map.of(partition, before)).lowWatermarks().get(partition))
                .lowWatermark();
        equal("low watermark", 120L, low);
        equal("earliest offset", 120L, offset(admin, partition, OffsetSpec.earliest()));
        equal("latest offset", 200L, offset(admin, partition, OffsetSpec.latest()));
    }

    /** The records above came from a producer with default settings: the broker has to know its id. */
    private static void describeProducers(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(TOPIC, 0);
        List<ProducerState> producers = get(admin.describeProducers(List.of(partition)).all())
                .get(partition)
                .activeProducers();
        equal("active producers", 1, producers.size());
        equal("last sequence", 199, producers.get(0).lastSequence());
    }

    private static void describeLogDirs(Admin admin) throws Exception {
        Map<Integer, Map<String, LogDirDescription>> nodes =
                get(admin.describeLogDirs(List.of(node(admin))).allDescriptions());
        long size = nodes.values().stream()
                .flatMap(dirs -> dirs.values().stream())
                .filter(dir -> dir.replicaInfos().containsKey(new TopicPartition(TOPIC, 0)))
                .mapToLong(dir -> dir.replicaInfos().get(new TopicPartition(TOPIC, 0)).size())
                .sum();
        if (size < 1000) {
            throw new Main.Mismatch("log size " + size + " of a partition with 200 records");
        }
    }

    private static void delete(Admin admin) throws Exception {
        get(admin.deleteTopics(List.of(TOPIC)).all());
        until(() -> !get(admin.listTopics().names()).contains(TOPIC), "no such topic");
        expect(
                UnknownTopicOrPartitionException.class,
                admin.describeTopics(List.of(TOPIC)).allTopicNames());
        expect(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of(TOPIC)).all());
    }

    private static void describeCluster(Admin admin) throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        equal("nodes", 1, get(cluster.nodes()).size());
        equal("a cluster id of 22 characters", 22, get(cluster.clusterId()).length());
        equal("controller", node(admin), get(cluster.controller()).id());
    }

    private static int node(Admin admin) throws Exception {
        return get(admin.describeCluster().nodes()).iterator().next().id();
    }

    private static int partitionCount(Admin admin) throws Exception {
        return get(admin.describeTopics(List.of(TOPIC)).allTopicNames())
                .get(TOPIC)
                .partitions()
                .size();
    }

    private static String topicConfig(Admin admin, String name) throws Exception {
        return get(admin.describeConfigs(List.of(RESOURCE)).all()).get(RESOURCE).get(name).value();
    }

    private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return get(admin.listOffsets(Map.of(partition, spec)).all()).get(partition).offset();
    }

    private static AlterConfigOp set(String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(Traffic.DEADLINE_SECONDS, TimeUnit.SECONDS);
    }

    static void equal(String what, Object want, Object got) {
        if (!want.equals(got)) {
            throw new Main.Mismatch(what + ": " + got + ", not " + want);
        }
    }

    static void expect(Class<? extends Exception> want, KafkaFuture<?> future) throws Exception {
        try {
            get(future);
        } catch (ExecutionException failure) {
            if (want.isInstance(failure.getCause())) {
                return;
            }
            throw failure;
        }
        throw new Main.Mismatch("no error, where " + want.getSimpleName() + " is due");
    }

    /** Waits for a change that a broker may show a moment after it confirmed it. */
    static void until(Callable<Boolean> condition, String what) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Traffic.DEADLINE_SECONDS);
        while (!holds(condition)) {
            if (System.nanoTime() > deadline) {
                throw new Main.Mismatch("not within " + Traffic.DEADLINE_SECONDS + " s: " + what);
            }
            TimeUnit.MILLISECONDS.sleep(50);
        }
    }

    private static boolean holds(Callable<Boolean> condition) throws Exception {
        try {
            return condition.call();
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof UnknownTopicOrPartitionException) {
                return false;
            }
            throw failure;
        }
    }
}
