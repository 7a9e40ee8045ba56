//! Which file belongs to which component of a mix.
//!
//! In come the components' names and patterns, in the order of the spec's table; out comes, for a path inside a package, the
//! first component that matches it. `*` stays within a folder, `**` crosses folders. Components without patterns get
//! those that the corpus knows by their name.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use pleach_plan::Component;

use crate::DataError;

/// The components of a mix, ready to sort files.
pub(super) struct Mix {
    sets: Vec<GlobSet>,
    /// The patterns in use, by component.
    pub globs: Vec<Vec<String>>,
}

impl Mix {
    /// Reads the patterns.
    pub fn new(components: &[Component]) -> Result<Mix, DataError> {
        let globs = components
            .iter()
            .map(patterns)
            .collect::<Result<Vec<_>, _>>()?;
        let sets = components
            .iter()
            .zip(&globs)
            .map(|(component, globs)| set(&component.name, globs));
        Ok(Mix {
            sets: sets.collect::<Result<_, _>>()?,
            globs,
        })
    }

    /// The component of the file at this path inside its package.
    pub fn component(&self, path: &str) -> Option<usize> {
        self.sets.iter().position(|set| set.is_match(path))
    }
}

fn patterns(component: &Component) -> Result<Vec<String>, DataError> {
    if !component.files.is_empty() {
        return Ok(component.files.clone());
    }
    let known: &[&str] = match component.name.as_str() {
        "code" => &["**/*.rs"],
        "prose" => &["**/*.md", "**/README*"],
        "licences" | "licenses" => &[
            "**/LICENSE*",
            "**/LICENCE*",
            "**/COPYING*",
            "**/COPYRIGHT*",
            "**/UNLICENSE*",
            "**/NOTICE*",
        ],
        _ => {
            return Err(DataError::UnknownComponent {
                component: component.name.clone(),
            });
        }
    };
    Ok(known.iter().map(|&glob| glob.to_owned()).collect())
}

/// The files that a component's patterns name.
pub(crate) fn set(component: &str, globs: &[String]) -> Result<GlobSet, DataError> {
    let refuse = |glob: &str, error: &globset::Error| DataError::Glob {
        component: component.to_owned(),
        glob: glob.to_owned(),
        reason: error.kind().to_string(),
    };
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        let parsed = GlobBuilder::new(glob).literal_separator(true).build();
        builder.add(parsed.map_err(|error| refuse(glob, &error))?);
    }
    builder
        .build()
        .map_err(|error| refuse(&globs.join(" "), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, files: &[&str]) -> Component {
        let files = files.iter().map(|&file| file.to_owned()).collect();
        Component {
            name: name.into(),
            files,
            source: None,
            weight: [1, 1],
            repeat: 1.0,
            fingerprint: None,
        }
    }

    #[test]
    fn the_first_component_of_the_table_gets_the_file() {
        let mix = Mix::new(&[
            component("licences", &[]),
            component("prose", &[]),
            component("code", &["src/*.rs"]),
        ])
        .unwrap();
        assert_eq!(mix.component("LICENSE.md"), Some(0));
        assert_eq!(mix.component("vendored/COPYING"), Some(0));
        assert_eq!(mix.component("docs/README.md"), Some(1));
        assert_eq!(mix.component("src/lib.rs"), Some(2));
        assert_eq!(mix.component("src/inner/lib.rs"), None);
        assert_eq!(mix.component("Cargo.toml"), None);
    }

    #[test]
    fn a_bad_pattern_and_an_unknown_name_say_what_is_known() {
        let error = Mix::new(&[component("code", &["src/[.rs"])])
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("`src/[.rs`") && error.contains("`code`"),
            "{error}"
        );
        let error = Mix::new(&[component("poems", &[])])
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("`poems`") && error.contains("licences"),
            "{error}"
        );
    }
}
