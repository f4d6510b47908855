package highwater;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * The Java client in the phases of {@code driver.py}: the same command line, the same lines of JSON. It has more phases
 * than the others, for the interchange of directories with Apache Kafka.
 */
public final class Main {
    /** What a phase found to be other than it should be. */
    static final class Mismatch extends RuntimeException {
        private static final long serialVersionUID = 1;

        Mismatch(String message) {
            super(message);
        }
    }

    /** The arguments that all phases share. */
    record Arguments(
            String bootstrap,
            List<String> codecs,
            Records records,
            int first,
            int count,
            String writer,
            List<String> topics,
            Map<String, String> options) {
        int total() {
            return first + count;
        }

        /** An option that only some phases have. */
        String option(String name, String otherwise) {
            return options.getOrDefault(name, otherwise);
        }

        /** The topic of one codec, written by this client or by another. */
        String topic(String codec) {
            return writer + "-" + codec;
        }
    }

    private interface Phase {
        Map<String, Object> run(Arguments arguments) throws Exception;
    }

    private static final Map<String, Phase> PHASES = Map.ofEntries(
            Map.entry("version", arguments -> Map.of(
                    "version", AppInfoParser.getVersion(), "refused", List.of(), "suffixes", List.of(""))),
            Map.entry("produce", Traffic::produce),
            Map.entry("verify", Traffic::verify),
            Map.entry("times", Traffic::times),
            Map.entry("admin", Administration::run),
            Map.entry("describe", Description::describe),
            Map.entry("retained", Histories::retained),
            Map.entry("verify-retained", Histories::verifyRetained),
            Map.entry("create", Histories::create),
            Map.entry("delete", Histories::delete),
            Map.entry("transactions", Histories::transactions),
            Map.entry("verify-transactions", Histories::verifyTransactions),
            Map.entry("end-transactions", Histories::endTransactions),
            Map.entry("verify-transactions-ended", Histories::verifyTransactionsEnded),
            Map.entry("create-compacted", Histories::createCompacted),
            Map.entry("compacted", Histories::compacted),
            Map.entry("verify-compacted", Histories::verifyCompacted),
            Map.entry("group", Histories::group),
            Map.entry("member", Membership::member),
            Map.entry("feed", Membership::feed),
            Map.entry("committed", Groups::committed),
            Map.entry("group-positions", Groups::positions),
            Map.entry("group-admin", Groups::administer));

    private Main() {}

    /** Runs the phases given as the first argument, separated by commas. */
    public static void main(String[] words) {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < words.length; at += 2) {
            options.put(words[at], words[at + 1]);
        }
        Records records = new Records(
                Long.parseLong(options.getOrDefault("--seed", "1")),
                Integer.parseInt(options.getOrDefault("--partitions", "1")),
                Long.parseLong(options.getOrDefault("--base-timestamp", "0")),
                Set.of(options.getOrDefault("--refused", "").split(",")));
        Arguments arguments = new Arguments(
                options.get("--bootstrap"),
                List.of(options.getOrDefault("--codecs", "none").split(",")),
                records,
                Integer.parseInt(options.getOrDefault("--first", "0")),
                Integer.parseInt(options.getOrDefault("--count", "0")),
                options.getOrDefault("--writer", "java"),
                List.of(options.getOrDefault("--topics", "").split(",")),
                options);
        for (String name : words[0].split(",")) {
            long started = System.nanoTime();
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("client", "java");
            line.put("phase", name);
            boolean failed = false;
            try {
                line.putAll(PHASES.get(name).run(arguments));
            } catch (Throwable error) { // the line is the report: it has to come out whatever went wrong
                error.printStackTrace();
                line.put("error", error.toString());
                failed = true;
            }
            line.put("seconds", (System.nanoTime() - started) / 10_000_000 / 100.0);
            System.out.println(Json.write(line));
            if (failed) {
                System.exit(1);
            }
        }
    }

    /** One entry of the list of topics in a report. */
    static Map<String, Object> report(String topic, String codec, int count) {
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("topic", topic);
        entry.put("codec", codec);
        entry.put("count", count);
        return entry;
    }
}
