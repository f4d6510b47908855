package highwater;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.zip.CRC32;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * The records every client writes and expects back, drawn from a seed. The same recipe stands in
 * {@code records.py} and {@code records.rs}.
 */
record Records(long seed, int partitions, long baseTimestamp, Set<String> refused) {
    private static final long GOLDEN = 0x9E3779B97F4A7C15L;
    private static final int POOL_SIZE = 65536;
    private static final int OFFSETS = 32768;
    private static final String[] HEADER_NAMES = {"trace-id", "", "größe", "k"};
    private static final byte[] NOISE = noise();
    private static final byte[] TEXT = text();

    /** One record as it was written or read. */
    record Item(int partition, long timestamp, byte[] key, byte[] value, Header[] headers) {
        /** Names the first field that differs, or null. */
        String difference(Item other) {
            if (timestamp != other.timestamp) {
                return "timestamp is " + other.timestamp + ", written was " + timestamp;
            }
            if (!Arrays.equals(key, other.key)) {
                return "key is " + Arrays.toString(other.key) + ", written was " + Arrays.toString(key);
            }
            if (!Arrays.equals(value, other.value)) {
                return "value is " + Arrays.toString(other.value) + ", written was " + Arrays.toString(value);
            }
            if (!Arrays.equals(headers, other.headers)) {
                return "headers are " + Arrays.toString(other.headers) + ", written was " + Arrays.toString(headers);
            }
            return null;
        }
    }

    /** Records {@code first..first + count} in the order they are produced. */
    List<Item> stream(int first, int count) {
        List<Item> items = new ArrayList<>(count);
        for (int index = first; index < first + count; index++) {
            items.add(item(index));
        }
        return items;
    }

    /** The first records, split by partition; the position in each list is the offset. */
    List<List<Item>> byPartition(int count) {
        List<List<Item>> split = new ArrayList<>();
        for (int partition = 0; partition < partitions; partition++) {
            split.add(new ArrayList<>());
        }
        for (Item item : stream(0, count)) {
            split.get(item.partition()).add(item);
        }
        return split;
    }

    private Item item(int index) {
        Draws draws = new Draws(seed ^ ((index + 1L) * GOLDEN));
        long r = draws.next();
        byte[] key;
        if (r % 16 == 0) {
            key = null;
        } else {
            int size = r % 16 == 1 ? 0 : 1 + (int) ((r >>> 8) % 32);
            key = slice(NOISE, (r >>> 16) % OFFSETS, size);
        }

        r = draws.next();
        byte[] value;
        if (r % 16 == 0) {
            value = null;
        } else {
            int size = r % 16 == 1 ? 0 : (int) ((r >>> 8) % (r % 16 == 2 ? 8192 : 256));
            value = slice(((r >>> 24) & 1) == 1 ? TEXT : NOISE, (r >>> 32) % OFFSETS, size);
        }

        if (key == null && value == null && refused.contains("key and value null")) {
            value = new byte[0];
        }

        r = draws.next();
        int partition = (int) (r % partitions);
        long timestamp = baseTimestamp + 10L * index - (r >>> 8) % 50;
        Header[] headers = new Header[(int) ((r >>> 16) % 4)];
        for (int header = 0; header < headers.length; header++) {
            r = draws.next();
            long kind = (r >>> 8) % 8;
            boolean isNull = kind == 0 && !refused.contains("null headers");
            int size = kind < 2 ? 0 : (int) ((r >>> 16) % 24);
            byte[] content = isNull ? null : slice(NOISE, (r >>> 32) % OFFSETS, size);
            headers[header] = new RecordHeader(HEADER_NAMES[(int) (r % 4)], content);
        }
        return new Item(partition, timestamp, key, value, headers);
    }

    /** CRC-32 over every field of every record, partition by partition. */
    static String digest(List<List<Item>> split) throws IOException {
        CRC32 crc = new CRC32();
        for (int partition = 0; partition < split.size(); partition++) {
            for (int offset = 0; offset < split.get(partition).size(); offset++) {
                Item item = split.get(partition).get(offset);
                ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                DataOutputStream out = new DataOutputStream(bytes);
                out.writeInt(partition);
                out.writeLong(offset);
                out.writeLong(item.timestamp());
                writeSized(out, item.key());
                writeSized(out, item.value());
                out.writeInt(item.headers().length);
                for (Header header : item.headers()) {
                    writeSized(out, header.key().getBytes(StandardCharsets.UTF_8));
                    writeSized(out, header.value());
                }
                crc.update(bytes.toByteArray());
            }
        }
        return String.format("%08x", crc.getValue());
    }

    private static void writeSized(DataOutputStream out, byte[] field) throws IOException {
        out.writeInt(field == null ? -1 : field.length);
        if (field != null) {
            out.write(field);
        }
    }

    private static byte[] slice(byte[] pool, long start, int size) {
        return Arrays.copyOfRange(pool, (int) start, (int) start + size);
    }

    private static byte[] noise() {
        ByteBuffer pool = ByteBuffer.allocate(POOL_SIZE).order(ByteOrder.LITTLE_ENDIAN);
        for (long word = 1; pool.hasRemaining(); word++) {
            pool.putLong(Draws.mix(word));
        }
        return pool.array();
    }

    private static byte[] text() {
        byte[] phrase = "the line below which a record is committed, ".getBytes(StandardCharsets.UTF_8);
        byte[] pool = new byte[POOL_SIZE];
        for (int at = 0; at < POOL_SIZE; at++) {
            pool[at] = phrase[at % phrase.length];
        }
        return pool;
    }

    /** SplitMix64, without the lowest bit so that the remainder needs no unsigned arithmetic. */
    private static final class Draws {
        private long state;

        Draws(long state) {
            this.state = state;
        }

        long next() {
            state = mix(state + GOLDEN);
            return state >>> 1;
        }

        static long mix(long z) {
            z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
            z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
            return z ^ (z >>> 31);
        }
    }
}
