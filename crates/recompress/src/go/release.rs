//! Which of the encoder's two forms made a stream.

/// The first Go release of a series that compresses alike. Levels 2 to 9 are the same in both series, level 0
/// too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Release {
    /// Go 1.8 to 1.14. At levels -2 and 1, a block of literals that is about as large as its bytes stored can
    /// be the one or the other: the first releases misjudge it by the number of matches of distance 1 in the
    /// last block that had matches. And level 1 forgets its history about once per GiB.
    Go1_8,
    /// Go 1.15 to 1.26.
    #[default]
    Go1_15,
}
