//! Any bytes as a recipe: no panic, one form, and a stream that never gets longer than declared.

use std::io::Read;
use std::num::NonZeroUsize;

use nydus_convert_recompress::{Recipe, replay};

/// A recipe may ask for exabytes of plain bytes; that many are given.
const PLAIN_CAP: u64 = 1 << 18;

/// Panics if `bytes` break the promise above.
pub fn check(bytes: &[u8]) {
    let Ok(recipe) = Recipe::parse(bytes) else { return };
    assert!(recipe.write() == bytes);
    assert!(!recipe.method().to_string().is_empty());
    // Every member costs an encoder, however short it is.
    if recipe.member_count() > 1000 || recipe.stored_len() > 1 << 24 {
        return;
    }
    let plain = std::io::repeat(0x5a).take(recipe.plain_len().min(PLAIN_CAP));
    let mut out = Vec::new();
    let replayed = replay(&recipe, plain, &mut out, NonZeroUsize::MIN);
    assert!(out.len() as u64 <= recipe.stored_len());
    if let Ok(replayed) = replayed {
        assert!(replayed.stored == recipe.stored_len() && replayed.plain == recipe.plain_len());
    }
}
