//! Every file of kernels compiles for the architectures that are meant, wherever NVRTC can be had; a device is not needed.

use std::path::PathBuf;

use pleach_executor::kernels::SOURCES;
use pleach_executor::kernels::compile::{Compiler, LIBRARY, VARIABLE};

/// NVRTC as the Python environment of `cargo xtask setup --python` has it.
fn of_python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let libraries = cache.join("pleach/python-2.11.0/lib");
    let versions = std::fs::read_dir(libraries).ok()?.flatten();
    versions
        .map(|entry| {
            entry
                .path()
                .join("site-packages/nvidia/cu13/lib")
                .join(LIBRARY)
        })
        .find(|path| path.exists())
}

fn compiler() -> Option<Compiler> {
    if std::env::var_os(VARIABLE).is_none()
        && let Some(path) = of_python()
    {
        // SAFETY: the tests of this binary that read the environment are this module's own.
        unsafe { std::env::set_var(VARIABLE, path) };
    }
    match Compiler::find() {
        Ok(found) => Some(found),
        Err(text) => {
            println!("skipped: no NVRTC; `cargo xtask setup --python` brings it ({text})");
            None
        }
    }
}

#[test]
fn every_kernel_compiles_for_each_architecture() {
    let Some(compiler) = compiler() else { return };
    for architecture in ["sm_80", "sm_90"] {
        for source in SOURCES {
            let code = compiler.compile(source, architecture).unwrap();
            assert_eq!(&code[1..4], b"ELF", "{} for {architecture}", source.name);
        }
    }
}

#[test]
fn what_does_not_compile_is_said_with_its_line() {
    let Some(compiler) = compiler() else { return };
    let broken = pleach_executor::kernels::Source {
        name: "broken.cu",
        text: "int fine;\nint wrong() { return nothing; }\n",
    };
    let text = compiler.compile(broken, "sm_90").unwrap_err();
    assert!(
        text.contains("broken.cu(2)") && text.contains("nothing"),
        "{text}"
    );
}
