//! AES-128-XTS as encrypted blobs use it. The only file of this crate that names the cipher libraries.
//!
//! ```text
//!   item of 16 bytes and more:  one XTS data unit, the last block by ciphertext stealing
//!   shorter item:               [ item | 16−n times the byte 16−n | 78 90 ]  18 bytes, then as above
//! ```
//! Every item of a blob (chunk, batch, payload and header of the chunk information) has the same key and tweak.

use aes::Aes128;
use aes::cipher::KeyInit;
use nydus_convert_rafs::Cipher;
use xts_mode::Xts128;

const BLOCK: usize = 16;
/// Length of every item that was padded.
const PADDED: usize = 18;
/// The same, as records have it.
pub(crate) const PADDED_SIZE: u32 = 18;
const _: () = assert!(PADDED_SIZE as usize == PADDED);
const MARK: [u8; 2] = [0x78, 0x90];

/// The key of one blob, ready for use.
pub(crate) struct Xts {
    cipher: Xts128<Aes128>,
    iv: [u8; 16],
}

impl std::fmt::Debug for Xts {
    /// Keys do not belong into logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Xts")
    }
}

impl Xts {
    /// `None` for plain blobs.
    pub(crate) fn new(cipher: &Cipher) -> Option<Self> {
        let Cipher::Aes128Xts { key, iv } = cipher else { return None };
        let (data, tweak) = key.split_at(BLOCK);
        let cipher = Xts128::new(Aes128::new(data.into()), Aes128::new(tweak.into()));
        Some(Self { cipher, iv: *iv })
    }

    /// Decrypts an item in place and gives its length without padding. `expected`: the length where it is known,
    /// since an item of 18 bytes may look like a padded one. What is shorter than a block cannot be decrypted and
    /// has length 0.
    pub(crate) fn decrypt(&self, item: &mut [u8], expected: Option<usize>) -> usize {
        if item.len() < BLOCK {
            return 0;
        }
        self.cipher.decrypt_sector(item, self.iv);
        match unpadded(item) {
            Some(length) if expected.is_none_or(|expected| expected == length) => length,
            _ => item.len(),
        }
    }
}

/// The length without padding, of an item that is padded.
fn unpadded(item: &[u8]) -> Option<usize> {
    let (block, mark) = item.split_first_chunk::<BLOCK>()?;
    let count = *block.last()?;
    let length = BLOCK.checked_sub(usize::from(count))?;
    let padding = block.get(length..)?;
    let is_padded = mark == MARK && length > 0 && padding.iter().all(|byte| *byte == count);
    (is_padded && !padding.is_empty()).then_some(length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn xts() -> Xts {
        let mut key = [0x11; 32];
        key[16..].fill(0x22);
        let mut iv = [0; 16];
        iv[..5].fill(0x33);
        Xts::new(&Cipher::Aes128Xts { key, iv }).unwrap()
    }

    /// IEEE 1619-2007, vector 2: 32 bytes 0x44, data unit 0x3333333333.
    #[test]
    fn the_standards_vector() {
        let mut item = [
            0xc4, 0x54, 0x18, 0x5e, 0x6a, 0x16, 0x93, 0x6e, 0x39, 0x33, 0x40, 0x38, 0xac, 0xef, 0x83, 0x8b,
            0xfb, 0x18, 0x6f, 0xff, 0x74, 0x80, 0xad, 0xc4, 0x28, 0x93, 0x82, 0xec, 0xd6, 0xd3, 0x94, 0xf0,
        ];
        assert_eq!(xts().decrypt(&mut item, None), 32);
        assert_eq!(item, [0x44; 32]);
    }

    #[test]
    fn short_items_are_padded() {
        let xts = xts();
        let encrypted = |plain: [u8; PADDED]| {
            let mut item = plain;
            xts.cipher.encrypt_sector(&mut item, xts.iv);
            item
        };
        for length in 1..BLOCK {
            let mut plain = [7; PADDED];
            plain[length..BLOCK].fill((BLOCK - length) as u8);
            plain[BLOCK..].copy_from_slice(&MARK);
            let mut item = encrypted(plain);
            assert_eq!(xts.decrypt(&mut item, None), length);
            assert_eq!(item, plain);
            // It may be an item of 18 bytes all the same: whoever knows the length decides.
            assert_eq!(xts.decrypt(&mut encrypted(plain), Some(PADDED)), PADDED);
        }
        for (last, mark) in [(0, MARK), (17, MARK), (3, MARK), (1, [0x78, 0x91])] {
            let mut plain = [7; PADDED];
            plain[15] = last;
            plain[16..].copy_from_slice(&mark);
            assert_eq!(xts.decrypt(&mut encrypted(plain), None), PADDED, "{last}");
        }
        assert_eq!(xts.decrypt(&mut [1; 15], None), 0);
    }
}
