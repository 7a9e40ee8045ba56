//! Compiles the shim against the libtorch that torch-sys found, refuses another version than the bindings', and makes the
//! binaries find the libraries without any variable exported.

use std::path::Path;

/// The libtorch that torch-sys 0.24 binds.
const WANTED: &str = "2.11";

fn main() {
    println!("cargo:rerun-if-changed=shim");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        fail("no libtorch was found: LIBTORCH must name a folder with libtorch's include and lib");
    };
    let root = Path::new(&lib)
        .parent()
        .expect("torch-sys names the lib folder of a libtorch tree");
    check_version(root);
    let include = root.join("include");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    // The shim's parallel loops must share the OpenMP runtime, and so the thread pool, of libtorch itself.
    println!("cargo:rustc-link-arg=-l:libgomp.so.1");
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .std("c++17")
        .opt_level(3)
        .warnings(false)
        .flag_if_supported("-fopenmp")
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .define("AT_PARALLEL_OPENMP", "1")
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include("shim/include")
        .flag("-isystem")
        .flag(include.display().to_string())
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include").display().to_string())
        .files([
            "shim/arena.cpp",
            "shim/attention.cpp",
            "shim/device.cpp",
            "shim/dropout.cpp",
            "shim/groups.cpp",
            "shim/kernels.cpp",
            "shim/memory.cpp",
            "shim/rows.cpp",
            "shim/updates.cpp",
        ])
        .compile("pleach_shim");
}

/// Compares the tree's own version file with the one that the bindings were made for.
fn check_version(root: &Path) {
    let file = root.join("build-version");
    println!("cargo:rerun-if-changed={}", file.display());
    let Ok(text) = std::fs::read_to_string(&file) else {
        return;
    };
    let found = text.trim();
    if found != WANTED && !found.starts_with(&format!("{WANTED}.")) {
        fail(&format!(
            "libtorch {found} is at {}, but the worker is built for libtorch {WANTED}",
            root.display()
        ));
    }
}

fn fail(what: &str) -> ! {
    println!("cargo:warning={what}");
    eprintln!(
        "error: {what}\nhelp: `cargo xtask setup` fetches libtorch {WANTED} into the user's cache folder and links it here"
    );
    std::process::exit(1)
}
