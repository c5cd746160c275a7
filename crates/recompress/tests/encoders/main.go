// What Go programs write: the standard library, klauspost/compress, pgzip, and blobs like those of eStargz.
package main

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"
)

type writer interface {
	io.WriteCloser
	Flush() error
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// usage: gz MODE LEVEL NUMBER <plain >stored
func main() {
	mode := os.Args[1]
	level, err := strconv.Atoi(os.Args[2])
	check(err)
	number, err := strconv.Atoi(os.Args[3])
	check(err)
	plain, err := io.ReadAll(os.Stdin)
	check(err)
	var out bytes.Buffer
	switch mode {
	case "go", "goflush":
		w, err := stdgzip.NewWriterLevel(&out, level)
		check(err)
		feed(w, plain, number, mode == "goflush")
	case "klauspost":
		w, err := gzip.NewWriterLevel(&out, level)
		check(err)
		feed(w, plain, 0, false)
	case "pgzip":
		w, err := pgzip.NewWriterLevel(&out, level)
		check(err)
		check(w.SetConcurrency(number, 2))
		_, err = w.Write(plain)
		check(err)
		check(w.Close())
	case "estargz":
		estargz(&out, plain, level, number)
	}
	_, err = os.Stdout.Write(out.Bytes())
	check(err)
}

func feed(w writer, plain []byte, number int, flush bool) {
	for number > 0 && len(plain) > number {
		_, err := w.Write(plain[:number])
		check(err)
		plain = plain[number:]
		if flush {
			check(w.Flush())
		}
	}
	_, err := w.Write(plain)
	check(err)
	check(w.Close())
}

// Members of changing length, most of them flushed at their end, and a footer.
func estargz(out *bytes.Buffer, plain []byte, level, number int) {
	for i := 0; len(plain) > 0; i++ {
		n := min(len(plain), 512*(1+i*i%number))
		w, err := stdgzip.NewWriterLevel(out, level)
		check(err)
		_, err = w.Write(plain[:n])
		check(err)
		if i%16 != 0 {
			check(w.Flush())
		}
		check(w.Close())
		plain = plain[n:]
	}
	w, err := stdgzip.NewWriterLevel(out, stdgzip.NoCompression)
	check(err)
	w.Extra = append([]byte{'S', 'G', 22, 0}, []byte(fmt.Sprintf("%016xSTARGZ", 123456))...)
	check(w.Close())
}
