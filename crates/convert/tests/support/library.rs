//! Conversions in this process, through the library, from `latest` of one layout to `latest` of another.

use std::path::Path;

use nydus_convert::oci::{
    LayoutSink, LayoutSource, Reference, RegistryOptions, RegistrySink, Sink, Source, copy_image,
};
use nydus_convert::{
    Error, PlatformFilter, Resources, Run, Stop, ToNydusOptions, ToNydusReport, ToOciOptions, ToOciReport,
};

fn open(source: &Path, target: &Path) -> (LayoutSource, Box<LayoutSink>) {
    let source = LayoutSource::open(source, Some("latest"), None).unwrap();
    (source, Box::new(LayoutSink::create(target, Some("latest")).unwrap()))
}

/// `nydus-convert to-nydus`.
pub fn to_nydus(source: &Path, target: &Path, options: &ToNydusOptions) -> Result<ToNydusReport, Error> {
    to_nydus_with(source, target, options, Resources::default())
}

/// `nydus-convert to-nydus`, within bounds.
pub fn to_nydus_with(
    source: &Path,
    target: &Path,
    options: &ToNydusOptions,
    resources: Resources,
) -> Result<ToNydusReport, Error> {
    let (source, sink) = open(source, target);
    nydus_convert::to_nydus(&source, sink, options, &Run::new(resources, &(), &Stop::new()))
}

/// `nydus-convert to-oci`.
pub fn to_oci(source: &Path, target: &Path, options: &ToOciOptions) -> Result<ToOciReport, Error> {
    to_oci_with(source, target, options, Resources::default())
}

/// `nydus-convert to-oci`, within bounds.
pub fn to_oci_with(
    source: &Path,
    target: &Path,
    options: &ToOciOptions,
    resources: Resources,
) -> Result<ToOciReport, Error> {
    let (source, sink) = open(source, target);
    nydus_convert::to_oci(&source, sink, options, &Run::new(resources, &(), &Stop::new()))
}

/// What `nydus-convert check` finds wrong.
pub fn problems(image: &Path) -> Vec<String> {
    let source = LayoutSource::open(image, Some("latest"), None).unwrap();
    let stop = Stop::new();
    let run = Run::new(Resources::default(), &(), &stop);
    nydus_convert::check(&source, &PlatformFilter::All, &run).unwrap().problems
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Copies `latest` of a layout into a registry, byte for byte.
pub fn push(layout: &Path, target: &str) {
    let from = LayoutSource::open(layout, Some("latest"), None).unwrap();
    let Ok(Reference::Registry(name)) = target.parse() else { panic!("{target} is in no registry") };
    let to = RegistrySink::create(&name, None, &RegistryOptions::default()).unwrap();
    copy_image(&from, &to, from.root()).unwrap();
    Box::new(to).commit(from.root().clone()).unwrap();
}
