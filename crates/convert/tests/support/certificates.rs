//! Certificates as a private authority gives them.

use std::fs;
use std::path::{Path, PathBuf};

use super::tools::Tool;

/// A private authority and a certificate of it for 127.0.0.1, for servers and for clients: authority, certificate, key.
/// Needs the tool `openssl`.
pub fn certificates(dir: &Path) -> [PathBuf; 3] {
    let [ca, ca_key, request, certificate, key, extensions] =
        ["ca.pem", "ca.key", "request", "cert.pem", "cert.key", "extensions"].map(|name| dir.join(name));
    fs::write(
        &extensions,
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .unwrap();
    let openssl = |arguments: &[&dyn AsRef<std::ffi::OsStr>]| {
        Tool::get("openssl").run(arguments.iter().map(|argument| argument.as_ref()));
    };
    let ec: [&dyn AsRef<std::ffi::OsStr>; 5] =
        [&"-newkey", &"ec", &"-pkeyopt", &"ec_paramgen_curve:P-256", &"-nodes"];
    let start: [&dyn AsRef<std::ffi::OsStr>; 1] = [&"req"];
    openssl(
        &[
            &start[..],
            &ec,
            &[&"-x509", &"-days", &"2", &"-subj", &"/CN=tests", &"-keyout", &ca_key, &"-out", &ca],
        ]
        .concat(),
    );
    openssl(&[&start[..], &ec, &[&"-subj", &"/CN=registry", &"-keyout", &key, &"-out", &request]].concat());
    openssl(&[
        &"x509",
        &"-req",
        &"-in",
        &request,
        &"-CA",
        &ca,
        &"-CAkey",
        &ca_key,
        &"-CAcreateserial",
        &"-days",
        &"2",
        &"-extfile",
        &extensions,
        &"-out",
        &certificate,
    ]);
    [ca, certificate, key]
}
