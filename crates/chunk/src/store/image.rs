//! What the store remembers of a result: lines of text, a word and what it says.
//!
//! ```text
//!   image 1
//!   name docker://127.0.0.1:5000/app-nydus:latest
//!   made 1764547200
//!   blob 8c3f…
//! ```

use nydus_convert_rafs::BlobId;

use super::{ObjectKind, ObjectName};

const FIRST: &str = "image 1";

/// A result, and the blobs that it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredImage {
    /// The digest of its manifest.
    pub id: [u8; 32],
    /// What it was made as.
    pub name: String,
    /// What it was made of.
    pub source: String,
    /// When, in seconds since 1970.
    pub made: u64,
    /// Its data blobs.
    pub blobs: Vec<BlobId>,
}

impl StoredImage {
    pub(super) const fn object(id: [u8; 32]) -> ObjectName {
        ObjectName { kind: ObjectKind::Image, id }
    }

    pub(super) fn write(&self) -> String {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        let (name, source) = (line(&self.name), line(&self.source));
        let mut text = format!("{FIRST}\nname {name}\nsource {source}\nmade {}\n", self.made);
        for blob in &self.blobs {
            text.push_str(&format!("blob {blob}\n"));
        }
        text
    }

    /// `None` if it is not one.
    pub(super) fn parse(id: [u8; 32], bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let mut image = Self { id, ..Self::default() };
        lines.next().filter(|line| *line == FIRST)?;
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "name" => image.name = rest.to_owned(),
                "source" => image.source = rest.to_owned(),
                "made" => image.made = rest.parse().ok()?,
                "blob" => image.blobs.push(rest.parse().ok()?),
                // Later versions may say more.
                _ => {}
            }
        }
        Some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let image = StoredImage {
            id: [3; 32],
            name: "oci:a b:latest".to_owned(),
            source: "docker://h/x".to_owned(),
            made: 17,
            blobs: vec![BlobId([1; 32]), BlobId([2; 32])],
        };
        assert_eq!(StoredImage::parse([3; 32], image.write().as_bytes()), Some(image));
        for bad in ["", "image 2\n", "image 1\nblob zz\n", "image 1\nx\n", "image 1\nmade -1\n"] {
            assert_eq!(StoredImage::parse([0; 32], bad.as_bytes()), None, "{bad}");
        }
    }
}
