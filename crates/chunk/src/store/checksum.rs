//! The checksum by which the store finds damage.

/// CRC-32C of what has the checksum `before`, with `bytes` behind it; that of nothing is 0.
pub fn checksum(before: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(before, bytes)
}
