// What compress/gzip writes, whatever the toolchain: no modules, and nothing that Go 1.9 does not have.
//
// usage: standard MODE LEVEL NUMBER <plain >stored
//
//	whole    one member, written at once, or in pieces of NUMBER bytes
//	flushed  one member, flushed every NUMBER bytes
//	members  many members of changing length, most of them flushed at their end, and a footer
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/ioutil"
	"os"
	"strconv"
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
	plain, err := ioutil.ReadAll(os.Stdin)
	check(err)
	var out bytes.Buffer
	if os.Args[1] == "members" {
		members(&out, plain, level, number)
	} else {
		one(&out, plain, level, number, os.Args[1] == "flushed")
	}
	_, err = os.Stdout.Write(out.Bytes())
	check(err)
}

func one(out *bytes.Buffer, plain []byte, level, number int, flush bool) {
	w, err := gzip.NewWriterLevel(out, level)
	check(err)
	for number > 0 && len(plain) > number {
		_, err := w.Write(plain[:number])
		check(err)
		plain = plain[number:]
		if flush {
			check(w.Flush())
		}
	}
	_, err = w.Write(plain)
	check(err)
	check(w.Close())
}

func members(out *bytes.Buffer, plain []byte, level, number int) {
	for i := 0; len(plain) > 0; i++ {
		n := 512 * (1 + i*i%number)
		if n > len(plain) {
			n = len(plain)
		}
		w, err := gzip.NewWriterLevel(out, level)
		check(err)
		_, err = w.Write(plain[:n])
		check(err)
		if i%16 != 0 {
			check(w.Flush())
		}
		check(w.Close())
		plain = plain[n:]
	}
	w, err := gzip.NewWriterLevel(out, gzip.NoCompression)
	check(err)
	w.Extra = append([]byte{'S', 'G', 22, 0}, []byte(fmt.Sprintf("%016xSTARGZ", 123456))...)
	check(w.Close())
}
