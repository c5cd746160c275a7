//! One entry out of its header and what the extension headers before it said.
//!
//! Names come, in this order, from: the GNU sparse record, the GNU long name, the PAX record, the header. Targets from:
//! the GNU long target, the PAX record, the header. Numbers from: the PAX record, the header; a header field that a
//! record overrides is not looked at, since writers put anything there.

use nydus_convert_rafs::{DeviceNumber, EntryPath, Metadata, PathError, Timestamp};

use crate::entry::EntryKind;
use crate::error::{Field, LayerError, NameError, Place, SparseError};
use crate::header::Header;
use crate::limits::MAX_PATH;
use crate::number::{decimal, header_number, pax_time};
use crate::pax::{Key, Pax};
use crate::sparse::Form;

/// What the extension headers in front of an entry say.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub pax: Pax,
    /// GNU `L`: the name. Empty: none.
    pub long_name: Vec<u8>,
    /// GNU `K`: the link's target. Empty: none.
    pub long_target: Vec<u8>,
}

impl Extensions {
    /// Forgets what belonged to one entry.
    pub fn clear(&mut self) {
        self.pax.local.clear();
        self.long_name.clear();
        self.long_target.clear();
    }
}

/// What the type flag makes of an entry. Those after `Unsupported` never have content, whatever their size says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// May have content.
    File,
    /// Type `D`: the content lists names of the directory.
    DumpDirectory,
    /// Content that nobody reads.
    Unsupported,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// An entry whose header has been read and whose name is known.
pub(crate) struct Draft<'a> {
    header: &'a Header,
    extensions: &'a Extensions,
    pub offset: u64,
    pub path: EntryPath,
    pub shape: Shape,
    pub sparse: Option<Form>,
}

impl<'a> Draft<'a> {
    pub fn new(header: &'a Header, extensions: &'a Extensions, offset: u64) -> Result<Self, LayerError> {
        let (path, sparse, has_slash) = name(header, extensions, offset)?;
        let shape = match header.typeflag() {
            // Old archives have no type for directories. Only here: Go takes '0' with a slash as a file.
            0 if has_slash => Shape::Directory,
            0 | b'0' | b'7' | b'S' => Shape::File,
            b'1' => Shape::HardLink,
            b'2' => Shape::Symlink,
            b'3' => Shape::CharDevice,
            b'4' => Shape::BlockDevice,
            b'5' => Shape::Directory,
            b'6' => Shape::Fifo,
            b'D' => Shape::DumpDirectory,
            _ => Shape::Unsupported,
        };
        // Records about content that nobody reads mean nothing.
        let sparse = sparse.filter(|_| !matches!(shape, Shape::DumpDirectory | Shape::Unsupported));
        let draft = Self { header, extensions, offset, path, shape, sparse };
        if draft.sparse.is_some() && shape != Shape::File {
            return Err(draft.bad_sparse(SparseError::NotAFile));
        }
        if draft.sparse == Some(Form::OldGnu) && !header.is_gnu() {
            return Err(draft.bad_sparse(SparseError::Dialect));
        }
        Ok(draft)
    }

    pub const fn header(&self) -> &Header {
        self.header
    }

    pub const fn pax(&self) -> &Pax {
        &self.extensions.pax
    }

    pub fn place(&self) -> Place {
        Place { offset: self.offset, path: Some(self.path.clone()) }
    }

    pub fn bad_sparse(&self, source: SparseError) -> LayerError {
        LayerError::BadSparse { at: self.place(), source }
    }

    /// Bytes behind the header, as declared.
    pub fn stored_size(&self) -> Result<u64, LayerError> {
        stored_size(self.header, self.extensions, || self.place())
    }

    /// Size of a sparse file with its holes; `stored` where the records do not say.
    pub fn sparse_size(&self, form: Form, stored: u64) -> Result<u64, LayerError> {
        let pax = &self.extensions.pax;
        let size = match form {
            Form::OldGnu => header_number(self.header.real_size()),
            Form::Records | Form::Inline => {
                match pax.value(Key::SparseSize).or_else(|| pax.value(Key::SparseRealSize)) {
                    Some(size) => decimal(size),
                    None => return Ok(stored),
                }
            }
        };
        let size = size.and_then(|size| u64::try_from(size).ok());
        size.ok_or_else(|| self.bad_sparse(SparseError::Malformed))
    }

    /// What the entry is; `size` is that of its content, should it be a file.
    pub fn kind(&self, size: u64) -> Result<EntryKind, LayerError> {
        Ok(match self.shape {
            Shape::File => EntryKind::Regular { size },
            Shape::HardLink => EntryKind::HardLink { target: self.hard_link_target()? },
            Shape::Symlink => EntryKind::Symlink { target: self.symlink_target()? },
            Shape::CharDevice => EntryKind::CharDevice(self.device()?),
            Shape::BlockDevice => EntryKind::BlockDevice(self.device()?),
            Shape::Directory | Shape::DumpDirectory => EntryKind::Directory,
            Shape::Fifo => EntryKind::Fifo,
            Shape::Unsupported => EntryKind::Unsupported { typeflag: self.header.typeflag() },
        })
    }

    pub fn metadata(&self) -> Result<Metadata, LayerError> {
        let Some(mode) = header_number(self.header.mode()) else {
            return Err(bad_number(self.place(), Field::Mode, self.header.mode()));
        };
        Ok(Metadata {
            // Masked to 12 bits: the type bits that some writers add say nothing that the type flag does not.
            mode: (mode & 0o7777) as u16,
            uid: self.number_u32(Field::Uid, Key::Uid, self.header.uid())?,
            gid: self.number_u32(Field::Gid, Key::Gid, self.header.gid())?,
            mtime: self.mtime()?,
            xattrs: self.extensions.pax.xattrs(),
        })
    }

    fn mtime(&self) -> Result<Timestamp, LayerError> {
        let field = self.header.mtime();
        let time = match self.extensions.pax.value(Key::Mtime) {
            Some(text) => pax_time(text),
            None => header_number(field).map(|seconds| Timestamp { seconds, nanos: 0 }),
        };
        time.ok_or_else(|| self.bad_number(Field::Mtime, Key::Mtime, field))
    }

    fn device(&self) -> Result<DeviceNumber, LayerError> {
        Ok(DeviceNumber {
            major: self.number_u32(Field::DeviceMajor, Key::DeviceMajor, self.header.device_major())?,
            minor: self.number_u32(Field::DeviceMinor, Key::DeviceMinor, self.header.device_minor())?,
        })
    }

    fn symlink_target(&self) -> Result<Vec<u8>, LayerError> {
        let target = self.raw_target();
        if target.is_empty() {
            return Err(self.bad_target(NameError::Empty));
        }
        if target.contains(&0) {
            return Err(self.bad_target(PathError::Nul { path: target.to_vec() }.into()));
        }
        Ok(target.to_vec())
    }

    fn hard_link_target(&self) -> Result<EntryPath, LayerError> {
        parse_path(self.raw_target()).map_err(|error| self.bad_target(error))
    }

    fn raw_target(&self) -> &[u8] {
        match self.extensions.long_target.as_slice() {
            [] => self.extensions.pax.value(Key::LinkPath).unwrap_or_else(|| self.header.link_name()),
            long => long,
        }
    }

    fn bad_target(&self, source: NameError) -> LayerError {
        LayerError::BadLinkTarget { at: self.place(), source }
    }

    fn number_u32(&self, field: Field, key: Key, raw: &[u8]) -> Result<u32, LayerError> {
        let number = self.number(field, key, raw)?;
        u32::try_from(number).map_err(|_| self.bad_number(field, key, raw))
    }

    fn number(&self, field: Field, key: Key, raw: &[u8]) -> Result<i64, LayerError> {
        let number = match self.extensions.pax.value(key) {
            Some(text) => decimal(text),
            None => header_number(raw),
        };
        number.ok_or_else(|| self.bad_number(field, key, raw))
    }

    fn bad_number(&self, field: Field, key: Key, raw: &[u8]) -> LayerError {
        bad_number(self.place(), field, self.extensions.pax.value(key).unwrap_or(raw))
    }
}

/// Bytes behind a header, as the PAX record or the header declares them.
pub(crate) fn stored_size(
    header: &Header,
    extensions: &Extensions,
    place: impl FnOnce() -> Place,
) -> Result<u64, LayerError> {
    let (size, value) = match extensions.pax.value(Key::Size) {
        Some(text) => (decimal(text), text),
        None => (header_number(header.size()), header.size()),
    };
    let size = size.and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| bad_number(place(), Field::Size, value))
}

fn bad_number(at: Place, field: Field, value: &[u8]) -> LayerError {
    // A record may have a megabyte; what makes it wrong shows earlier.
    let value = value.get(..64).unwrap_or(value).to_vec();
    LayerError::BadNumber { at, field, value }
}

/// The path, the sparse form (it may name the file), and whether the name before that ends in a slash.
fn name(
    header: &Header,
    extensions: &Extensions,
    offset: u64,
) -> Result<(EntryPath, Option<Form>, bool), LayerError> {
    let joined;
    let raw = match (extensions.long_name.as_slice(), extensions.pax.value(Key::Path), header.prefix()) {
        ([], None, []) => header.name(),
        ([], None, prefix) => {
            joined = [prefix, b"/", header.name()].concat();
            &joined
        }
        ([], Some(path), _) => path,
        (long, _, _) => long,
    };
    let bad_name = |source| LayerError::BadName { offset, source };
    let has_slash = raw.ends_with(b"/");
    let form = if header.typeflag() == b'S' { Ok(Some(Form::OldGnu)) } else { Form::of(&extensions.pax) };
    let form = form.map_err(|source| {
        let path = parse_path(raw).ok();
        LayerError::BadSparse { at: Place { offset, path }, source }
    })?;
    let raw = match form {
        Some(Form::Records | Form::Inline) => extensions.pax.value(Key::SparseName).unwrap_or(raw),
        _ => raw,
    };
    Ok((parse_path(raw).map_err(bad_name)?, form, has_slash))
}

fn parse_path(raw: &[u8]) -> Result<EntryPath, NameError> {
    let path = EntryPath::clean(raw)?;
    match path.as_bytes().len() {
        length if length > MAX_PATH => Err(NameError::TooLong { length }),
        _ => Ok(path),
    }
}
