//! Images made from recipes: every kind of inode, hard links, extended attributes, chunks in several blobs.
#![allow(dead_code, reason = "every test binary uses a part of this")]

pub mod raw;
pub mod v5;

use nydus_convert_rafs::{
    Blob, BlobFeatures, BlobId, BlobName, Chunk, ChunkFlags, ChunkRef, ChunkSize, ChunkTable, CiLocation,
    Cipher, Compressor, DeviceNumber, Digester, Directory, EntryPath, Image, Inode, InodeId, InodeKind,
    Metadata, Timestamp, Tree, Xattrs,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// One entry of a tree: where it goes, what it is.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which of the directories so far holds it.
    pub parent: usize,
    pub name: Vec<u8>,
    pub metadata: Metadata,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    Directory,
    /// Chunks: which of the known chunks of the right length, or a new one of this blob. Then the tail's length.
    File {
        chunks: Vec<u8>,
        tail: u32,
    },
    Symlink(Vec<u8>),
    Char(DeviceNumber),
    Block(DeviceNumber),
    Fifo,
    Socket,
    /// Which of the files so far gets one more name.
    Link(usize),
}

/// Builds an image with `blobs` blobs.
pub struct Builder {
    pub image: Image,
    chunks: Vec<Vec<Chunk>>,
    directories: Vec<InodeId>,
    files: Vec<InodeId>,
}

impl Builder {
    pub fn new(chunk_size: u64, blobs: u8) -> Self {
        let tree = Tree::new();
        let root = tree.root();
        let image = Image {
            tree,
            blobs: (0..blobs).map(blob).collect(),
            chunk_size: ChunkSize::new(chunk_size).unwrap(),
            compressor: Compressor::Zstd,
            digester: Digester::Blake3,
            tarfs: false,
            prefetch: Vec::new(),
        };
        let chunks = vec![Vec::new(); usize::from(blobs)];
        Self { image, chunks, directories: vec![root], files: Vec::new() }
    }

    /// Adds an entry unless its name is taken.
    pub fn add(&mut self, entry: &Entry) -> Option<InodeId> {
        let parent = self.directories[entry.parent % self.directories.len()];
        if self.image.tree.directory(parent).unwrap().get(&entry.name).is_some() {
            return None;
        }
        let kind = match &entry.content {
            Content::Directory => InodeKind::Directory(Directory::new(false)),
            Content::File { chunks, tail } => self.file(chunks, *tail),
            Content::Symlink(target) => InodeKind::Symlink { target: target.as_slice().into() },
            Content::Char(number) => InodeKind::CharDevice(*number),
            Content::Block(number) => InodeKind::BlockDevice(*number),
            Content::Fifo => InodeKind::Fifo,
            Content::Socket => InodeKind::Socket,
            Content::Link(which) => {
                let id = *self.files.get(which % self.files.len().max(1))?;
                self.image.tree.set_child(parent, &entry.name, id).unwrap();
                return Some(id);
            }
        };
        let id = self.image.tree.add(Inode { metadata: entry.metadata.clone(), kind }).unwrap();
        self.image.tree.set_child(parent, &entry.name, id).unwrap();
        match entry.content {
            Content::Directory => self.directories.push(id),
            _ => self.files.push(id),
        }
        Some(id)
    }

    fn file(&mut self, picks: &[u8], tail: u32) -> InodeKind {
        if self.image.blobs.is_empty() {
            return InodeKind::Regular { size: 0, chunks: Vec::new() };
        }
        let step = self.image.chunk_size.bytes();
        let tail = tail % step;
        let mut chunks: Vec<ChunkRef> = picks.iter().map(|pick| self.chunk(*pick, step)).collect();
        if tail != 0 {
            chunks.push(self.chunk(picks.first().copied().unwrap_or_default(), tail));
        }
        InodeKind::Regular { size: picks.len() as u64 * u64::from(step) + u64::from(tail), chunks }
    }

    /// A known chunk of `size` bytes if `pick` is even, else a new one.
    fn chunk(&mut self, pick: u8, size: u32) -> ChunkRef {
        let blob = usize::from(pick / 2) % self.chunks.len();
        let known = self.chunks[blob].iter().position(|chunk| chunk.uncompressed_size == size);
        let position = match known {
            Some(position) if pick.is_multiple_of(2) => position,
            _ => self.new_chunk(blob, size),
        };
        ChunkRef { blob: blob as u16, index: position as u32 }
    }

    fn new_chunk(&mut self, blob: usize, size: u32) -> usize {
        let chunks = &mut self.chunks[blob];
        let (compressed_offset, uncompressed_offset) = chunks.last().map_or((0, 0), |last| {
            let end = last.uncompressed_offset + u64::from(last.uncompressed_size);
            (last.compressed_offset + u64::from(last.compressed_size), end.next_multiple_of(4096))
        });
        let number = chunks.len();
        let compressed_size = if number.is_multiple_of(3) { size } else { size.div_ceil(2) };
        let mut flags = ChunkFlags::empty();
        flags.set(ChunkFlags::COMPRESSED, compressed_size != size);
        flags.set(ChunkFlags::HAS_CRC32, number % 2 == 1);
        chunks.push(Chunk {
            digest: Digester::Blake3.digest(format!("{blob}/{number}").as_bytes()),
            flags,
            compressed_size,
            uncompressed_size: size,
            compressed_offset,
            uncompressed_offset,
            crc32: if number % 2 == 1 { 0x1234_5678 } else { 0 },
        });
        number
    }

    /// The image; blobs without chunks are as small as blobs can be.
    pub fn finish(mut self) -> Image {
        for (blob, chunks) in self.image.blobs.iter_mut().zip(self.chunks) {
            let count = chunks.len() as u32;
            let end =
                chunks.last().map_or(1, |last| last.uncompressed_offset + u64::from(last.uncompressed_size));
            blob.chunk_count = count;
            blob.uncompressed_size = end.next_multiple_of(4096);
            blob.compressed_size = end;
            blob.ci.uncompressed_size = 16 * u64::from(count);
            blob.ci.compressed_size = 5.min(blob.ci.uncompressed_size);
            blob.chunks = ChunkTable::from_iter(chunks);
        }
        self.image
    }
}

fn blob(number: u8) -> Blob {
    let digest = Digester::Sha256.digest(&[number]).0;
    Blob {
        name: if number == 0 { BlobName::ThisBlob } else { BlobName::Id(BlobId(digest)) },
        features: BlobFeatures::ALIGNED | BlobFeatures::HAS_TOC | BlobFeatures::CAP_TAR_TOC,
        compressor: [Compressor::Zstd, Compressor::None, Compressor::Lz4Block][usize::from(number % 3)],
        digester: if number.is_multiple_of(2) { Digester::Blake3 } else { Digester::Sha256 },
        chunk_count: 0,
        compressed_size: 0,
        uncompressed_size: 0,
        ci: CiLocation { compressor: Compressor::Zstd, offset: 77, compressed_size: 0, uncompressed_size: 0 },
        toc_size: 640 * u32::from(number % 2),
        toc_digest: digest,
        meta_digest: [number; 32],
        meta_size: number.into(),
        cipher: Cipher::None,
        chunks: ChunkTable::default(),
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let usual = "[-+.a-c]{1,6}".prop_map(String::into_bytes);
    let raw = vec(any::<u8>(), 1..20);
    let long = (1_usize..=255, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    prop_oneof![6 => usual, 2 => raw, 1 => long].prop_filter("not a file name", |name| {
        name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
    })
}

fn xattrs() -> impl Strategy<Value = Xattrs> {
    let name = prop_oneof![
        "(user|trusted|security)\\.[a-z]{1,12}",
        Just("system.posix_acl_access".to_owned()),
        Just("system.posix_acl_default".to_owned()),
    ];
    let value =
        prop_oneof![6 => vec(any::<u8>(), 0..30), 1 => (0_usize..6000).prop_map(|length| vec![7; length])];
    let some = vec((name.prop_map(String::into_bytes), value), 1..4).prop_map(Xattrs::from_iter);
    prop_oneof![3 => Just(Xattrs::new()), 1 => some]
}

pub fn metadata() -> impl Strategy<Value = Metadata> {
    (0_u16..0o10000, any::<u32>(), any::<u32>(), 0..=i64::MAX, 0_u32..1_000_000_000, xattrs()).prop_map(
        |(mode, uid, gid, seconds, nanos, xattrs)| Metadata {
            mode,
            uid,
            gid,
            mtime: Timestamp { seconds, nanos },
            xattrs,
        },
    )
}

fn content() -> impl Strategy<Value = Content> {
    let number = (0_u32..=0xfff, 0_u32..=0xf_ffff).prop_map(|(major, minor)| DeviceNumber { major, minor });
    let target = prop_oneof![
        4 => vec(1_u8.., 1..60),
        1 => (3900_usize..=4095).prop_map(|length| vec![b't'; length]),
    ];
    prop_oneof![
        4 => Just(Content::Directory),
        6 => (vec(any::<u8>(), 0..5), any::<u32>()).prop_map(|(chunks, tail)| Content::File { chunks, tail }),
        1 => vec(any::<u8>(), 480..560).prop_map(|chunks| Content::File { chunks, tail: 0 }),
        3 => target.prop_map(Content::Symlink),
        1 => number.clone().prop_map(Content::Char),
        1 => number.prop_map(Content::Block),
        1 => Just(Content::Fifo),
        1 => Just(Content::Socket),
        3 => any::<usize>().prop_map(Content::Link),
    ]
}

pub fn entry() -> impl Strategy<Value = Entry> {
    let parent = prop_oneof![2 => Just(0_usize), 3 => any::<usize>()];
    (parent, name(), metadata(), content()).prop_map(|(parent, name, metadata, content)| Entry {
        parent,
        name,
        metadata,
        content,
    })
}

/// Images of up to `entries` entries.
pub fn image(entries: usize) -> impl Strategy<Value = Image> {
    let prefetch = vec(any::<usize>(), 0..4);
    (12_u32..=24, 0_u8..4, metadata(), vec(entry(), 0..entries), prefetch, any::<bool>()).prop_map(
        |(bits, blobs, metadata, entries, prefetch, sha256)| {
            let mut builder = Builder::new(1 << bits, blobs);
            let root = builder.image.tree.root();
            builder.image.tree.inode_mut(root).metadata = metadata;
            let mut ids = vec![root];
            ids.extend(entries.iter().filter_map(|entry| builder.add(entry)));
            if blobs > 0 {
                builder.image.prefetch = prefetch.iter().map(|which| ids[which % ids.len()]).collect();
            }
            if sha256 {
                builder.image.digester = Digester::Sha256;
                builder.image.compressor = Compressor::None;
            }
            builder.finish()
        },
    )
}

/// One image with a bit of everything, always the same.
pub fn sample() -> Image {
    let mut builder = Builder::new(4096, 2);
    let device = DeviceNumber { major: 259, minor: 0x12345 };
    let entries: [(usize, &[u8], Content); 13] = [
        (0, b"d", Content::Directory),
        (0, b"-x", Content::File { chunks: vec![1, 1], tail: 5 }),
        (1, b"a", Content::File { chunks: vec![0, 3], tail: 0 }),
        (1, b"e", Content::Directory),
        (2, b"empty", Content::File { chunks: Vec::new(), tail: 0 }),
        (1, b"l", Content::Symlink(b"../-x".to_vec())),
        (2, b"long", Content::Symlink(vec![b't'; 4090])),
        (0, b"c", Content::Char(device)),
        (0, b"b", Content::Block(device)),
        (0, b"p", Content::Fifo),
        (0, b"s", Content::Socket),
        (2, b"link", Content::Link(0)),
        (0, b"x", Content::Directory),
    ];
    for (number, (parent, name, content)) in (0..).zip(entries) {
        let mut metadata = Metadata {
            mode: 0o644,
            uid: number,
            gid: 100,
            mtime: Timestamp { seconds: 1_700_000_000, nanos: number },
            xattrs: Xattrs::new(),
        };
        if number % 4 == 1 {
            metadata.xattrs.insert(b"user.note".to_vec(), vec![0, 0xff]);
            metadata.xattrs.insert(b"security.label".to_vec(), b"x".to_vec());
        }
        builder.add(&Entry { parent, name: name.to_vec(), metadata, content });
    }
    let root = builder.image.tree.root();
    builder.image.tree.inode_mut(root).metadata.mode = 0o755;
    let link = builder.image.tree.get(&EntryPath::parse(b"d/e/link").unwrap()).unwrap();
    builder.image.prefetch = vec![root, link];
    builder.finish()
}

/// Whether two images are the same but for the numbers that inodes have in memory.
pub fn assert_same(left: &Image, right: &Image) {
    assert_eq!(left.tree, right.tree);
    assert_eq!(left.blobs, right.blobs);
    assert_eq!(
        (left.chunk_size, left.compressor, left.digester),
        (right.chunk_size, right.compressor, right.digester)
    );
    assert_eq!(prefetch_paths(left), prefetch_paths(right));
}

fn prefetch_paths(image: &Image) -> Vec<EntryPath> {
    let path = |id: &InodeId| image.tree.walk().find(|entry| entry.id == *id).unwrap().path;
    image.prefetch.iter().map(path).collect()
}
