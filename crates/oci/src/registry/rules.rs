//! What this machine says about registries: `registries.conf`, version 2 (containers-registries.conf(5)).
//!
//! ```text
//! $CONTAINERS_REGISTRIES_CONF alone, else
//! $XDG_CONFIG_HOME/containers/registries.conf    and registries.conf.d/*.conf beside it, else
//! /etc/containers/registries.conf                and registries.conf.d/*.conf beside it, then those of the user
//! ```
//! Of the tables `[[registry]]` the one with the longest prefix of a name counts; a later table replaces an earlier one
//! with the same prefix. It can refuse the name, allow plain HTTP and any certificate, and for reading lead elsewhere and to
//! mirrors. Short names are Docker's affair (`reference`), so neither search lists nor aliases are read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::{config_home, variable};
use super::error::RegistryError;
use super::options::RegistryOptions;
use crate::reference::RegistryName;
use crate::text::excerpt;

/// Where the machine keeps it, and where its distribution does.
const SYSTEM: [&str; 2] = ["/etc/containers/registries.conf", "/usr/share/containers/registries.conf"];

/// Where a repository really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub name: RegistryName,
    /// Any certificate will do there, and plain HTTP.
    pub insecure: bool,
}

/// All rules, by the prefix that chooses them.
#[derive(Debug, Default)]
pub(super) struct Rules(BTreeMap<String, Rule>);

#[derive(Debug)]
struct Rule {
    table: Table,
    /// Where it stands.
    file: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Table {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<Mirror>,
    mirror_by_digest_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: Option<PullFrom>,
}

/// Which pulls a mirror is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    #[serde(alias = "")]
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfFile {
    registry: Vec<Table>,
    registries: Version1,
}

/// The tables of version 1 that say what may not be overheard.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version1 {
    insecure: List,
    block: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    registries: Vec<String>,
}

type Problem = Box<dyn std::error::Error + Send + Sync>;

impl Rules {
    /// The rules that count under these options.
    pub fn of(options: &RegistryOptions) -> Result<Self, RegistryError> {
        if !options.machine_rules {
            return Ok(Self::default());
        }
        if let Some(path) = variable("CONTAINERS_REGISTRIES_CONF") {
            let path = PathBuf::from(path);
            let mut rules = Self::default();
            return match rules.read(&path)? {
                true => Ok(rules),
                false => Err(wrong(&path, io::Error::from(io::ErrorKind::NotFound).into())),
            };
        }
        let user = config_home().map(|config| config.join("containers/registries.conf"));
        Self::among(user.as_deref(), &SYSTEM.map(Path::new))
    }

    fn among(user: Option<&Path>, system: &[&Path]) -> Result<Self, RegistryError> {
        let mut rules = Self::default();
        let users_alone = match user {
            Some(user) => rules.read(user)?,
            None => false,
        };
        if !users_alone {
            for path in system {
                if rules.read(path)? {
                    break;
                }
            }
            if let Some(path) = system.first() {
                rules.read_beside(path)?;
            }
        }
        user.map_or(Ok(()), |user| rules.read_beside(user))?;
        Ok(rules)
    }

    /// The files `registries.conf.d/*.conf`, by name.
    fn read_beside(&mut self, file: &Path) -> Result<(), RegistryError> {
        let Ok(entries) = fs::read_dir(file.with_extension("conf.d")) else { return Ok(()) };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        {
            self.read(path)?;
        }
        Ok(())
    }

    /// Takes in one file; `false` if there is none.
    fn read(&mut self, path: &Path) -> Result<bool, RegistryError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            // Somebody else's home is as good as none.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(wrong(path, error.into())),
        };
        self.add(&text, path).map_err(|problem| wrong(path, problem))?;
        Ok(true)
    }

    fn add(&mut self, text: &str, file: &Path) -> Result<(), Problem> {
        let conf: ConfFile = toml::from_str(text)?;
        let old = &conf.registries;
        if !old.insecure.registries.is_empty() || !old.block.registries.is_empty() {
            return Err(
                "[registries.insecure] and [registries.block] are of version 1: write [[registry]] tables"
                    .into(),
            );
        }
        for table in conf.registry {
            let table = table.checked()?;
            self.0.insert(table.prefix.clone(), Rule { table, file: file.to_owned() });
        }
        Ok(())
    }

    /// The rule for a name, and how many bytes of the name it stands for.
    fn rule(&self, text: &str) -> Option<(&Rule, usize)> {
        let matching = self.0.iter().filter_map(|(prefix, rule)| Some((rule, matched(prefix, text)?)));
        matching.max_by_key(|(rule, _)| (rule.table.prefix.len(), !rule.table.prefix.starts_with("*.")))
    }

    /// Where to look for an image, one after the other; the last is the registry itself.
    pub fn pull(&self, name: &RegistryName) -> Result<Vec<Place>, RegistryError> {
        let text = name.to_string();
        let Some((rule, length)) = self.rule(&text) else {
            return Ok(vec![Place { name: name.clone(), insecure: false }]);
        };
        rule.refuse(name)?;
        let (table, rest) = (&rule.table, text.get(length..).unwrap_or_default());
        let at = |location: &str, insecure| {
            let name = relocated(location, rest).map_err(|problem| wrong(&rule.file, problem))?;
            Ok(Place { name, insecure })
        };
        let by_digest = name.digest.is_some();
        let wanted = |mirror: &&Mirror| match mirror.pull_from_mirror.unwrap_or(PullFrom::All) {
            PullFrom::All => by_digest || !table.mirror_by_digest_only,
            PullFrom::DigestOnly => by_digest,
            PullFrom::TagOnly => !by_digest,
        };
        let mirrors = table.mirror.iter().filter(wanted).map(|mirror| at(&mirror.location, mirror.insecure));
        let mut places = mirrors.collect::<Result<Vec<_>, _>>()?;
        places.push(if table.location.is_empty() {
            Place { name: name.clone(), insecure: table.insecure }
        } else {
            at(&table.location, table.insecure)?
        });
        Ok(places)
    }

    /// Where to write an image: to where its name says, never to a mirror.
    pub fn push(&self, name: &RegistryName) -> Result<Place, RegistryError> {
        let rule = self.rule(&name.to_string()).map(|(rule, _)| rule);
        if let Some(rule) = rule {
            rule.refuse(name)?;
        }
        Ok(Place { name: name.clone(), insecure: rule.is_some_and(|rule| rule.table.insecure) })
    }
}

impl Rule {
    fn refuse(&self, name: &RegistryName) -> Result<(), RegistryError> {
        if self.table.blocked {
            return Err(RegistryError::Blocked { name: name.to_string(), file: self.file.clone() });
        }
        Ok(())
    }
}

impl Table {
    /// The same with its defaults, if it is one.
    fn checked(mut self) -> Result<Self, Problem> {
        for location in [&mut self.prefix, &mut self.location]
            .into_iter()
            .chain(self.mirror.iter_mut().map(|mirror| &mut mirror.location))
        {
            if location.contains("://") {
                return Err(format!("{}: a location has no scheme, see insecure", excerpt(location)).into());
            }
            let length = location.trim_end_matches('/').len();
            location.truncate(length);
        }
        if self.prefix.is_empty() {
            self.prefix.clone_from(&self.location);
        }
        if self.prefix.is_empty() {
            return Err("a table [[registry]] has neither prefix nor location".into());
        }
        let shown = excerpt(&self.prefix);
        let host = self.prefix.strip_prefix("*.");
        if host.unwrap_or(&self.prefix).contains('*')
            || host.is_some_and(|host| host.contains(['/', ':', '@']))
        {
            return Err(format!("prefix {shown}: * stands for subdomains, as in *.example.com").into());
        }
        if self.location.is_empty() && host.is_none() {
            self.location.clone_from(&self.prefix);
        }
        if self.location.starts_with("*.") {
            return Err(format!("prefix {shown}: a location is no wildcard").into());
        }
        for mirror in &self.mirror {
            if mirror.location.is_empty() {
                return Err(format!("prefix {shown}: a mirror has no location").into());
            }
            if self.mirror_by_digest_only && mirror.pull_from_mirror.is_some_and(|from| from != PullFrom::All)
            {
                return Err(format!(
                    "prefix {shown}: pull-from-mirror and mirror-by-digest-only exclude each other"
                )
                .into());
            }
        }
        Ok(self)
    }
}

/// How many bytes of a name a prefix stands for, if it is one of this name.
fn matched(prefix: &str, name: &str) -> Option<usize> {
    let Some(domain) = prefix.strip_prefix('*') else {
        let rest = name.strip_prefix(prefix)?;
        // Behind a host a colon begins a port, which is another host.
        let ends = rest.is_empty()
            || rest.starts_with('/')
            || (prefix.contains('/') && rest.starts_with([':', '@']));
        return ends.then_some(prefix.len());
    };
    let (host, _) = name.split_once('/')?;
    let end = host.rfind(':').filter(|_| !host.ends_with(']')).unwrap_or(host.len());
    let below = host.get(..end)?.strip_suffix(domain)?;
    (!below.is_empty()).then_some(end)
}

/// The name with `location` for the part that a prefix stands for.
fn relocated(location: &str, rest: &str) -> Result<RegistryName, Problem> {
    let text = format!("{location}{rest}");
    let name: RegistryName = text.parse()?;
    // Docker's short names are none here.
    if !text.starts_with(&format!("{}/", name.host)) {
        return Err(format!("location {} does not begin with a host", excerpt(location)).into());
    }
    Ok(name)
}

fn wrong(path: &Path, source: Problem) -> RegistryError {
    RegistryError::File { path: path.to_owned(), what: "rules for registries", source }
}

#[cfg(test)]
mod tests;
