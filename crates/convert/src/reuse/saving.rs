//! Which blobs of earlier images are worth a reference.
//!
//! Every further blob costs clients a connection and registries an entry, so only those are referred to that save
//! enough; chunks of the others are copied, which costs no compressing.

use std::collections::BTreeSet;

use nydus_convert_chunk::Saving;
use nydus_convert_chunk::store::BlobNumber;
use nydus_convert_rafs::BlobName;

use super::Below;
use crate::options::ReuseOptions;

/// The blobs that pay: those that the image uses anyway, and of the others those that save most, as many as the image may
/// still have. `own` are the bytes that the layer stores beside all of these.
pub(crate) fn worth_referring(
    savings: &[Saving],
    own: u64,
    below: &Below,
    options: &ReuseOptions,
) -> BTreeSet<BlobNumber> {
    let (free, mut others): (Vec<&Saving>, Vec<&Saving>) =
        savings.iter().partition(|saving| below.uses(BlobName::Id(saving.id)));
    let layer = own + savings.iter().map(|saving| saving.stored_bytes).sum::<u64>();
    others.retain(|saving| options.min_saving.is_reached(saving.stored_bytes, layer));
    // Of equal ones the older.
    others.sort_by_key(|saving| (std::cmp::Reverse(saving.stored_bytes), saving.blob));
    others.truncate(options.max_blobs.saturating_sub(below.others()));
    free.into_iter().chain(others).map(|saving| saving.blob).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::MinSaving;
    use nydus_convert_rafs::BlobId;

    fn saving(blob: u32, stored_bytes: u64) -> Saving {
        Saving { blob: BlobNumber(blob), id: BlobId([blob as u8; 32]), chunks: 1, stored_bytes }
    }

    #[test]
    fn those_that_save_most() {
        let savings = [saving(1, 60), saving(2, 300), saving(3, 300), saving(4, 40), saving(5, 10)];
        let pay = |max_blobs, percent: &str, own| {
            let min_saving: Result<MinSaving, _> = percent.parse();
            let options =
                ReuseOptions { max_blobs, min_saving: min_saving.unwrap_or_default(), ..Default::default() };
            let pay = worth_referring(&savings, own, &Below::default(), &options);
            pay.into_iter().map(|number| number.0).collect::<Vec<_>>()
        };
        // 5 % of 1000.
        assert_eq!(pay(8, "5", 290), [1, 2, 3]);
        assert_eq!(pay(8, "4%", 290), [1, 2, 3, 4]);
        assert_eq!(pay(1, "5", 290), [2]);
        assert_eq!(pay(0, "0", 290), [0_u32; 0]);
        assert_eq!(pay(9, "0", 290), [1, 2, 3, 4, 5]);
        assert_eq!(pay(9, "40", 0), [2, 3]);
    }
}
