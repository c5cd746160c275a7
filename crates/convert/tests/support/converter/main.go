// The converter library of containerd's nydus-snapshotter, as its users call it. NYDUS_BUILDER names the builder.
//
//	converter [flags] pack TAR BLOB         TAR may be compressed
//	converter [flags] merge BOOTSTRAP BLOB…            with -oci-ref: BLOB LAYER BLOB LAYER…
//	converter [flags] unpack BLOB TAR
//
// merge prints the digests of the blobs that the image uses.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/nydus-snapshotter/pkg/converter"
	"github.com/opencontainers/go-digest"
)

var (
	fsVersion  = flag.String("fs-version", "6", "")
	compressor = flag.String("compressor", "", "")
	chunkSize  = flag.String("chunk-size", "", "")
	batchSize  = flag.String("batch-size", "", "")
	chunkDict  = flag.String("chunk-dict", "", "")
	prefetch   = flag.String("prefetch", "", "")
	parent     = flag.String("parent", "", "")
	aligned    = flag.Bool("aligned-chunk", false, "")
	encrypt    = flag.Bool("encrypt", false, "")
	ociRef     = flag.Bool("oci-ref", false, "")
	stream     = flag.Bool("stream", false, "")
	withTar    = flag.Bool("with-tar", false, "")
)

func pack(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	var layer io.Reader = source
	if !*ociRef {
		if layer, err = compression.DecompressStream(source); err != nil {
			return err
		}
	}
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	writer, err := converter.Pack(context.Background(), target, converter.PackOption{
		FsVersion: *fsVersion, Compressor: *compressor, ChunkSize: *chunkSize, BatchSize: *batchSize,
		ChunkDictPath: *chunkDict, PrefetchPatterns: *prefetch, AlignedChunk: *aligned, Encrypt: *encrypt,
		OCIRef: *ociRef,
	})
	if err != nil {
		return err
	}
	if _, err := io.Copy(writer, layer); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return target.Close()
}

func digestOf(name string) (digest.Digest, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return digest.FromReader(file)
}

func merge(to string, blobs []string) error {
	var layers []converter.Layer
	for number, name := range blobs {
		id, err := digestOf(name)
		if err != nil {
			return err
		}
		if *ociRef && number%2 == 1 {
			layers[len(layers)-1].OriginalDigest = &id
			continue
		}
		reader, err := local.OpenReader(name)
		if err != nil {
			return err
		}
		layers = append(layers, converter.Layer{Digest: id, ReaderAt: reader})
	}
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	used, err := converter.Merge(context.Background(), layers, target, converter.MergeOption{
		FsVersion: *fsVersion, ChunkDictPath: *chunkDict, ParentBootstrapPath: *parent,
		PrefetchPatterns: *prefetch, WithTar: *withTar,
	})
	if err != nil {
		return err
	}
	for _, id := range used {
		fmt.Println(id)
	}
	return target.Close()
}

func unpack(from, to string) error {
	blob, err := local.OpenReader(from)
	if err != nil {
		return err
	}
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	if err := converter.Unpack(context.Background(), blob, target, converter.UnpackOption{Stream: *stream}); err != nil {
		return err
	}
	return target.Close()
}

func main() {
	flag.Parse()
	args := flag.Args()
	var err error
	switch args[0] {
	case "pack":
		err = pack(args[1], args[2])
	case "merge":
		err = merge(args[1], args[2:])
	case "unpack":
		err = unpack(args[1], args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
