//! Every bound of the reader, with its reason. Nothing is ever allocated because a header says so: sizes become memory
//! only as bytes arrive, and these bounds end that.

/// Bytes of one extension body (PAX records, a GNU long name or target) or of one sparse map (as GNU extension blocks
/// or in front of the content): what Go's `archive/tar` takes, so no container engine can unpack more. It bounds the
/// number of sparse segments too: the tersest spelling has 4 bytes a segment, so there are at most 2¹⁸.
pub const MAX_EXTENSION: usize = 1 << 20;

/// Bytes of a path in normal form: `PATH_MAX` without its NUL. The kernel takes no longer name, so no extractor can
/// create the file and no client can open it.
pub(crate) const MAX_PATH: usize = 4095;
