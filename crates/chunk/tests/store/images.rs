//! What results are made of.

use nydus_convert_chunk::store::StoredImage;
use nydus_convert_rafs::BlobId;

use crate::place::each;

fn image(number: u8, made: u64) -> StoredImage {
    StoredImage {
        id: [number; 32],
        name: format!("oci:a layout:tag {number}"),
        source: "docker://127.0.0.1:1/x".to_owned(),
        made,
        blobs: (0..number).map(|blob| BlobId([blob; 32])).collect(),
    }
}

#[test]
fn images_come_back_the_oldest_first() {
    each(|place| {
        let store = place.store();
        assert_eq!(store.images().unwrap(), []);
        let (old, new, newest) = (image(9, 1), image(1, 2), image(5, 3));
        for image in [&newest, &old, &new] {
            store.put_image(image).unwrap();
        }
        assert_eq!(place.another().images().unwrap(), [old.clone(), new.clone(), newest.clone()]);
        // Made again: one entry, with what it is now.
        let again = StoredImage { made: 7, ..old.clone() };
        store.put_image(&again).unwrap();
        assert_eq!(store.images().unwrap(), [new.clone(), newest.clone(), again]);
        store.remove_image(new.id).unwrap();
        store.remove_image(new.id).unwrap();
        assert_eq!(store.images().unwrap().len(), 2);
        // A name cannot say more than it is.
        let odd = StoredImage { name: "a\nblob zz\r".to_owned(), ..image(2, 0) };
        store.put_image(&odd).unwrap();
        assert_eq!(store.images().unwrap()[0].name, "a blob zz ");
    });
}
