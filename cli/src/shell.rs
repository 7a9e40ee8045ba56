//! Commands that messages advise: words in, one line out that a shell takes apart into the same words.

use crate::arguments::Setting;

/// A command with its settings behind it.
pub fn line(words: &[&str], settings: &[Setting]) -> String {
    let texts: Vec<String> = settings.iter().map(Setting::to_string).collect();
    let set = texts.iter().flat_map(|text| ["--set", text]);
    let words: Vec<&str> = words.iter().copied().chain(set).collect();
    // Words with a NUL, which no argument can hold, never come from a command line.
    shlex::try_join(words.iter().copied()).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advised_can_be_pasted() {
        let setting = Setting {
            path: "cluster".into(),
            value: "this_machine { gpus_per_node = 2 }".into(),
        };
        let told = line(&["pleach", "resume", "runs/a b"], &[setting]);
        assert_eq!(
            told,
            "pleach resume 'runs/a b' --set 'cluster=this_machine { gpus_per_node = 2 }'"
        );
    }
}
