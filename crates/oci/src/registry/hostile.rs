//! What servers and files may say: anything. No panic, and what comes of it is sound.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::authfile::AuthFile;
use super::challenge::Challenge;
use super::error::Unusual;
use super::retry::retry_after;
use super::url::{Scheme, Url};
use crate::reference::RegistryName;

/// Texts of the pieces that count, in any order.
fn of(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => prop::sample::select(pieces).prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const HEADER: &[&str] = &[
    "Bearer",
    "basic",
    " ",
    ",",
    "=",
    "\"",
    "\\",
    "realm",
    "scope",
    "https://r.example/token",
    "a:b:pull,push",
];
const LOCATION: &[&str] = &[
    "/",
    "//",
    "..",
    ".",
    "?",
    "#",
    "@",
    ":",
    "http://",
    "https://",
    "r.example",
    ":443",
    "[::1]",
    "v2",
    "%2f",
    "é",
];
const DATE: &[&str] = &[
    "Sun,",
    " ",
    "06",
    "29",
    "Feb",
    "Nov",
    "1994",
    "9999",
    ":",
    "23:59:60",
    "GMT",
    "-",
    "18446744073709551616",
];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "1",
    "\"auths\"",
    "\"auth\"",
    "\"r.example\"",
    "\"dXNlcjpzZWNyZXQ=\"",
    "\"username\"",
    "\"password\"",
    "\"credHelpers\"",
    "\"config\"",
    "\"mediaType\"",
    "\"subject\"",
    "\"manifests\"",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn challenges(header in of(HEADER)) {
        for challenge in Challenge::parse_all(&header) {
            let _ = (challenge.get("realm"), challenge.get("scope"));
        }
    }

    #[test]
    fn locations(location in of(LOCATION)) {
        let base = Url { scheme: Scheme::Https, authority: "r.example".to_owned(), path: "/v2/a/blobs/uploads/x?y=z".to_owned() };
        if let Some(url) = base.join(&location) {
            prop_assert!(url.path.starts_with('/') && !url.authority.is_empty(), "{}", url);
            // Where a request goes is where the text says, for the next reader too.
            let again = Url::parse(&url.to_string());
            prop_assert_eq!(again.map(|again| again.authority), Some(url.authority.clone()));
            prop_assert!(!url.shown("GET").contains('?'));
        }
    }

    #[test]
    fn waits(value in of(DATE), date in prop::option::of(of(DATE))) {
        if let Some(wait) = retry_after(&value, date.as_deref()) {
            prop_assert!(wait.as_secs() <= 300);
        }
    }

    #[test]
    fn credentials_and_manifests(text in of(JSON)) {
        let name: RegistryName = "r.example/a/b".parse().unwrap();
        if let Ok(file) = serde_json::from_str::<AuthFile>(&text) {
            let _ = (file.login(&name), file.helper(&name), file.store());
        }
        let _ = Unusual::of(text.as_bytes());
    }
}
