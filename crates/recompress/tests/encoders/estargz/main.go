// Real eStargz blobs of a tar.
//
// usage: estargz MODE LEVEL NUMBER <tar >blob
//
//	append  the lossless writer of image converters
//	build   the parallel builder, with members of at least NUMBER bytes
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/containerd/stargz-snapshotter/estargz"
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
	tar, err := io.ReadAll(os.Stdin)
	check(err)
	if os.Args[1] == "append" {
		w := estargz.NewWriterLevel(os.Stdout, level)
		check(w.AppendTarLossLess(bytes.NewReader(tar)))
		_, err := w.Close()
		check(err)
		return
	}
	section := io.NewSectionReader(bytes.NewReader(tar), 0, int64(len(tar)))
	blob, err := estargz.Build(section, estargz.WithCompressionLevel(level), estargz.WithMinChunkSize(number))
	check(err)
	_, err = io.Copy(os.Stdout, blob)
	check(err)
	check(blob.Close())
}
