//! Tests against other programs: the reference builder and daemon, the kernel, containerd, skopeo, umoci, podman.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod byte_identity;
mod chain;
mod clients;
mod conformance;
mod dictionary;
mod directories;
mod drop_in;
mod drop_in_ref;
mod estargz;
mod indexes;
mod kernel;
mod oci_ref;
mod reference_images;
mod v5;
mod way_back;
