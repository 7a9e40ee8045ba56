//! What must be on the machine, and the command that installs it where it is not.

use std::process::Command;

use crate::process::{Failure, ask};

/// A program that these commands rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The interpreter.
    Python,
    /// Python's installer.
    Pip,
    /// Python's module that makes environments.
    Venv,
    /// A C++ compiler, which the binding to libtorch is built with.
    Compiler,
}

/// A package manager and what it calls the tools.
struct Manager {
    program: &'static str,
    install: &'static str,
    packages: fn(Tool) -> &'static str,
}

const MANAGERS: [Manager; 3] = [
    Manager {
        program: "apt-get",
        install: "sudo apt-get install",
        packages: debian,
    },
    Manager {
        program: "dnf",
        install: "sudo dnf install",
        packages: fedora,
    },
    Manager {
        program: "brew",
        install: "brew install",
        packages: homebrew,
    },
];

fn debian(tool: Tool) -> &'static str {
    match tool {
        Tool::Python => "python3",
        Tool::Pip => "python3-pip",
        Tool::Venv => "python3-venv",
        Tool::Compiler => "g++",
    }
}

fn fedora(tool: Tool) -> &'static str {
    match tool {
        Tool::Python | Tool::Venv => "python3",
        Tool::Pip => "python3-pip",
        Tool::Compiler => "gcc-c++",
    }
}

fn homebrew(tool: Tool) -> &'static str {
    match tool {
        Tool::Python | Tool::Pip | Tool::Venv => "python",
        Tool::Compiler => "llvm",
    }
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::Python => "python3",
            Tool::Pip => "pip for python3",
            Tool::Venv => "venv for python3",
            Tool::Compiler => "a C++ compiler",
        }
    }

    fn is_there(self) -> bool {
        let python = |arguments: &[&str]| ask(Command::new("python3").args(arguments)).is_some();
        match self {
            Tool::Python => python(&["--version"]),
            Tool::Pip => python(&["-m", "pip", "--version"]),
            Tool::Venv => python(&["-c", "import venv, ensurepip"]),
            Tool::Compiler => compilers()
                .iter()
                .any(|name| ask(Command::new(name).arg("--version")).is_some()),
        }
    }
}

/// The names under which the binding's build looks for a compiler.
fn compilers() -> Vec<String> {
    match std::env::var("CXX") {
        Ok(chosen) if !chosen.is_empty() => vec![chosen],
        _ => vec!["c++".to_owned(), "g++".to_owned(), "clang++".to_owned()],
    }
}

/// Makes sure that all of these are there.
///
/// # Errors
/// Names all that are missing, and the command that installs them here.
pub fn need(tools: &[Tool]) -> Result<(), Failure> {
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| !tool.is_there())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let has = |manager: &&Manager| ask(Command::new(manager.program).arg("--version")).is_some();
    Err(complaint(&missing, MANAGERS.iter().find(has)))
}

fn complaint(missing: &[Tool], here: Option<&Manager>) -> Failure {
    let names: Vec<&str> = missing.iter().map(|tool| tool.name()).collect();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let help = match here {
        Some(manager) => manager.line(missing),
        None => MANAGERS
            .iter()
            .map(|manager| manager.line(missing))
            .collect::<Vec<_>>()
            .join(", or "),
    };
    Failure::new(format!(
        "{} {verb} missing on this machine",
        names.join(" and ")
    ))
    .help(help)
}

impl Manager {
    fn line(&self, tools: &[Tool]) -> String {
        let mut packages: Vec<&str> = tools.iter().map(|&tool| (self.packages)(tool)).collect();
        packages.dedup();
        format!("`{} {}`", self.install, packages.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_with_one_command() {
        let text = complaint(&[Tool::Python, Tool::Pip], Some(&MANAGERS[0])).to_string();
        assert_eq!(
            text,
            "python3 and pip for python3 are missing on this machine\n  help: `sudo apt-get install python3 python3-pip`"
        );
    }

    #[test]
    fn without_a_known_package_manager_all_commands_are_shown() {
        let text = complaint(&[Tool::Compiler], None).to_string();
        for part in [
            "apt-get install g++",
            "dnf install gcc-c++",
            "brew install llvm",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
