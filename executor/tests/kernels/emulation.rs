//! The kernels' sources compiled by the C++ compiler and run on the CPU, a block at a time, its threads as fibers.

use std::ffi::{CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use pleach_executor::kernels::{COMMON, Call, Launch, SOURCES, Source};
use tch::TchError;

type Emulate = unsafe extern "C" fn(*mut c_void, u32, u32, u32, *const u64, c_int) -> c_int;

/// All kernels of one compilation, run with threads in one order.
pub struct Emulation {
    libraries: Vec<(Source, *mut c_void)>,
    backwards: bool,
    _folder: tempfile::TempDir,
}

impl Emulation {
    /// Compiles the sources, the common header changed by `edit`.
    pub fn of(backwards: bool, edit: impl Fn(&'static str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        std::fs::write(folder.path().join(COMMON.name), edit(COMMON.text)).unwrap();
        let started = SOURCES.map(|source| {
            let (text, library) = (
                folder.path().join(source.name),
                library(folder.path(), source),
            );
            std::fs::write(&text, edit(source.text)).unwrap();
            let mut command = Command::new("c++");
            command.args(["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared"]);
            command.args(["-DPLEACH_HOST", "-include"]);
            command.arg(kernels.join("host.hpp")).arg("-include");
            command
                .arg(folder.path().join(COMMON.name))
                .args(["-x", "c++"]);
            command.arg(&text).arg("-o").arg(&library).spawn().unwrap()
        });
        for mut compiler in started {
            assert!(
                compiler.wait().unwrap().success(),
                "the C++ compiler refused a kernel"
            );
        }
        let opened = SOURCES.map(|source| (source, open(&library(folder.path(), source))));
        Self {
            libraries: opened.into(),
            backwards,
            _folder: folder,
        }
    }

    /// The sources as they are.
    pub fn new(backwards: bool) -> Self {
        Self::of(backwards, str::to_owned)
    }
}

fn library(folder: &Path, source: Source) -> std::path::PathBuf {
    folder.join(source.name).with_extension("so")
}

fn open(path: &Path) -> *mut c_void {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the library has just been made of our own sources; each has symbols of its own, kept apart by RTLD_LOCAL.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null(), "{}", path.display());
    handle
}

fn symbol(library: *mut c_void, name: &str) -> *mut c_void {
    let text = CString::new(name).unwrap();
    // SAFETY: the library stays open.
    let found = unsafe { libc::dlsym(library, text.as_ptr()) };
    assert!(!found.is_null(), "no kernel {name}");
    found
}

impl Launch for Emulation {
    fn launch(&self, call: &Call<'_>) -> Result<(), TchError> {
        let mine = self
            .libraries
            .iter()
            .find(|(source, _)| *source == call.source);
        let (_, library) = mine.unwrap();
        // SAFETY: this is the type of `pleach_emulate` in host.hpp.
        let emulate: Emulate = unsafe { std::mem::transmute(symbol(*library, "pleach_emulate")) };
        let [width, height] = call.grid;
        let backwards = c_int::from(self.backwards);
        let kernel = symbol(*library, call.name);
        // SAFETY: the kernel takes one structure of as many words as there are, whose pointers are of tensors on the CPU.
        let code = unsafe {
            emulate(
                kernel,
                width,
                height,
                call.threads,
                call.words.as_ptr(),
                backwards,
            )
        };
        match code {
            0 => Ok(()),
            _ => Err(TchError::Torch(format!(
                "threads of {} wait for ever",
                call.name
            ))),
        }
    }
}
