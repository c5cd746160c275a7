//! Conversions in this process, through the library, from `latest` of one layout to `latest` of another.

use std::path::Path;

use nydus_convert::oci::{
    LayoutSink, LayoutSource, Reference, RegistryOptions, RegistrySink, Sink, Source, copy_image,
};
use nydus_convert::{
    Error, PlatformFilter, Resources, Stop, ToNydusOptions, ToNydusReport, ToOciOptions, ToOciReport,
};

/// What a conversion works on: the source and its name, the sink and its name.
struct Ends {
    source: (LayoutSource, Reference),
    sink: (LayoutSink, Reference),
}

impl Ends {
    fn open(source: &Path, target: &Path) -> Ends {
        let name = |dir: &Path| super::cli::latest(dir).parse::<Reference>().unwrap();
        Ends {
            source: (LayoutSource::open(source, Some("latest"), None).unwrap(), name(source)),
            sink: (LayoutSink::create(target, Some("latest")).unwrap(), name(target)),
        }
    }
}

/// `nydus-convert to-nydus`.
pub fn to_nydus(source: &Path, target: &Path, options: &ToNydusOptions) -> Result<ToNydusReport, Error> {
    let Ends { source: (source, from), sink: (sink, to) } = Ends::open(source, target);
    nydus_convert::to_nydus((&source, &from), (Box::new(sink), &to), options, &(), &Stop::new())
}

/// `nydus-convert to-oci`.
pub fn to_oci(source: &Path, target: &Path, options: &ToOciOptions) -> Result<ToOciReport, Error> {
    let Ends { source: (source, from), sink: (sink, to) } = Ends::open(source, target);
    nydus_convert::to_oci((&source, &from), (Box::new(sink), &to), options, &(), &Stop::new())
}

/// What `nydus-convert check` finds wrong.
pub fn problems(image: &Path) -> Vec<String> {
    let source = LayoutSource::open(image, Some("latest"), None).unwrap();
    let name = super::cli::latest(image).parse().unwrap();
    nydus_convert::check(&source, &name, &PlatformFilter::All, &Resources::default(), &()).unwrap().problems
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
