// What Java's GZIPOutputStream writes, which is what jib uses. usage: java Gzip.java LEVEL <plain >stored

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.zip.GZIPOutputStream;

public class Gzip {
    public static void main(String[] args) throws IOException {
        int level = Integer.parseInt(args[0]);
        try (OutputStream out = new BufferedOutputStream(System.out);
                GZIPOutputStream gzip =
                        new GZIPOutputStream(out) {
                            {
                                def.setLevel(level);
                            }
                        }) {
            System.in.transferTo(gzip);
        }
    }
}
