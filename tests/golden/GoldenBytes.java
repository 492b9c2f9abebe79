import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.avro.message.BinaryMessageEncoder;

/**
 * What the Java Avro library makes of our schemas: the other party of tests/unit/schemas/test_golden.py.
 *
 * <p>`encode FOLDER`: for every `values/NAME.json` (Avro's JSON encoding) prints `NAME hex`, single-object encoded by the schema in
 * `schemas/` that the file name's part before the dash names. `decode FOLDER FILE`: for every `NAME hex` of the file prints `NAME json`.
 */
public final class GoldenBytes {
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[1]);
        if (arguments[0].equals("encode")) {
            List<Path> files;
            try (var listed = Files.list(folder.resolve("values"))) {
                files = listed.sorted().toList();
            }
            for (Path file : files) {
                String name = file.getFileName().toString().replace(".json", "");
                System.out.println(name + " " + HexFormat.of().formatHex(encode(schema(folder, name), Files.readString(file))));
            }
        } else {
            for (String line : Files.readAllLines(Path.of(arguments[2]))) {
                String[] parts = line.split(" ");
                System.out.println(parts[0] + " " + decode(schema(folder, parts[0]), HexFormat.of().parseHex(parts[1])));
            }
        }
    }

    private static Schema schema(Path folder, String name) throws Exception {
        return new Schema.Parser().parse(folder.resolve("schemas").resolve(name.split("-")[0] + ".avsc").toFile());
    }

    private static byte[] encode(Schema schema, String json) throws Exception {
        var decoder = DecoderFactory.get().jsonDecoder(schema, json);
        GenericRecord value = new GenericDatumReader<GenericRecord>(schema).read(null, decoder);
        var buffer = new BinaryMessageEncoder<GenericRecord>(GenericData.get(), schema).encode(value);
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private static String decode(Schema schema, byte[] bytes) throws Exception {
        GenericRecord value = new BinaryMessageDecoder<GenericRecord>(GenericData.get(), schema).decode(bytes);
        var out = new ByteArrayOutputStream();
        JsonEncoder encoder = EncoderFactory.get().jsonEncoder(schema, out);
        new GenericDatumWriter<GenericRecord>(schema).write(value, encoder);
        encoder.flush();
        return out.toString(StandardCharsets.UTF_8);
    }
}
