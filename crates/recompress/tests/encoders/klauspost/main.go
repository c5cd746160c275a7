// What klauspost/compress and pgzip write. The releases are those of the modules beside this file.
//
// usage: klauspost MODE LEVEL NUMBER <plain >stored
//
//	gzip   one member, flushed every NUMBER bytes unless that is 0
//	pgzip  blocks of NUMBER bytes
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	level, err := strconv.Atoi(os.Args[2])
	check(err)
	number, err := strconv.Atoi(os.Args[3])
	check(err)
	plain, err := io.ReadAll(os.Stdin)
	check(err)
	var out bytes.Buffer
	if os.Args[1] == "pgzip" {
		w, err := pgzip.NewWriterLevel(&out, level)
		check(err)
		check(w.SetConcurrency(number, 2))
		_, err = w.Write(plain)
		check(err)
		check(w.Close())
	} else {
		one(&out, plain, level, number)
	}
	_, err = os.Stdout.Write(out.Bytes())
	check(err)
}

func one(out *bytes.Buffer, plain []byte, level, number int) {
	w, err := gzip.NewWriterLevel(out, level)
	check(err)
	for number > 0 && len(plain) > number {
		_, err := w.Write(plain[:number])
		check(err)
		check(w.Flush())
		plain = plain[number:]
	}
	_, err = w.Write(plain)
	check(err)
	check(w.Close())
}
