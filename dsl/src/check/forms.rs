//! The two forms by which a spec names what lies elsewhere: `hf:ORGANISATION/NAME` on the Hugging Face Hub, and `file:PATH` below the spec's folder.

/// What stands behind a prefix.
pub enum Form {
    /// A name on the Hugging Face Hub, perhaps with a revision.
    Hub,
    /// A path below the spec's folder.
    File,
    /// One of these, but wrong.
    Wrong(String),
    /// Neither.
    Other,
}

/// What a text names.
pub fn form(text: &str) -> Form {
    if let Some(name) = text.strip_prefix("hf:") {
        return match is_hub_name(name) {
            true => Form::Hub,
            false => Form::Wrong("`hf:` is followed by a name like `EleutherAI/pile`".to_string()),
        };
    }
    match text.strip_prefix("file:") {
        Some(path) if relative(path) == Some(path) => Form::File,
        Some(_) => Form::Wrong("`file:` is followed by a path below the spec's folder".to_string()),
        None => Form::Other,
    }
}

/// `NAME` or `ORGANISATION/NAME`, and a revision after `@`.
pub fn is_hub_name(text: &str) -> bool {
    let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
    let word = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
    };
    name.split('/').count() <= 2 && name.split('/').all(word) && revision.split('/').all(word)
}

/// A text as a path below the spec's folder, without `./`; none where it leads out of it, or is none.
pub fn relative(text: &str) -> Option<&str> {
    let path = text.trim_start_matches("./");
    let inside = |part: &str| !part.is_empty() && part != "..";
    let plain = |letter: char| !letter.is_control() && !"\\:\"`".contains(letter);
    (path.trim_end_matches('/').split('/').all(inside) && path.chars().all(plain)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_hub_and_paths_inside() {
        for name in ["EleutherAI/pile", "gpt2", "a/b.c-d_e@v1.0", "a/b@refs/pr/4"] {
            assert!(is_hub_name(name), "{name}");
        }
        for name in ["", "a/", "/b", "a/b/c", "a b", "a/b@", "../x", "-a"] {
            assert!(!is_hub_name(name), "{name}");
        }
        assert_eq!(relative("./data/x.jsonl"), Some("data/x.jsonl"));
        assert_eq!(relative("data/"), Some("data/"));
        for path in ["/data", "../data", "a/../b", "", "a//b", "C:\\x", "s3://x"] {
            assert_eq!(relative(path), None, "{path}");
        }
    }
}
