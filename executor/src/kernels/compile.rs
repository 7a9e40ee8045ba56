//! Kernels from their sources, for one architecture, by NVRTC; no device is needed for that.
//!
//! NVRTC comes with a PyTorch that has CUDA. It is looked for beside the loaded libtorch, then wherever the loader looks.

use std::ffi::{CString, OsString, c_char};
use std::path::PathBuf;
use std::sync::Mutex;

use cudarc::nvrtc::sys::{Lib, nvrtcProgram, nvrtcResult};

use super::{COMMON, DEVICE, Source};
use crate::native::{cuda, version};

/// The variable that names another NVRTC.
pub const VARIABLE: &str = "PLEACH_NVRTC";
/// The library's name; another major version is another interface.
pub const LIBRARY: &str = "libnvrtc.so.13";

/// What it opens when it compiles.
const PART: &str = "libnvrtc-builtins.so.13.0";

/// A compiler that was found.
pub struct Compiler {
    library: Lib,
    /// Where it was found.
    pub path: PathBuf,
    /// One program at a time: a message belongs to the last.
    alone: Mutex<()>,
}

/// Where NVRTC may be, likeliest first.
fn places() -> Vec<OsString> {
    let named = std::env::var_os(VARIABLE).into_iter();
    let tree = version::library();
    let tree = tree
        .as_deref()
        .and_then(|library| library.ancestors().nth(3));
    let beside = tree.map(|tree| tree.join("nvidia/cu13/lib").join(LIBRARY).into_os_string());
    named.chain(beside).chain([LIBRARY.into()]).collect()
}

impl Compiler {
    /// Looks for NVRTC.
    ///
    /// # Errors
    /// What the loader says of each place.
    pub fn find() -> Result<Self, String> {
        let mut said = Vec::new();
        for place in places() {
            let path = PathBuf::from(&place);
            // The crate panics where a symbol is missing; a library that cannot be opened at all is told by the loader.
            // It looks for this part of itself by name alone, which a library beside it is not found by.
            let part = path.with_file_name(PART);
            if part.exists() {
                let _ = cuda::open(&part);
            }
            if let Err(text) = cuda::open(&path) {
                said.push(text);
                continue;
            }
            // SAFETY: it has just been loaded, and under this name it has the symbols of its major version.
            match unsafe { Lib::new(&place) } {
                Ok(library) => {
                    return Ok(Self {
                        library,
                        path,
                        alone: Mutex::new(()),
                    });
                }
                Err(error) => said.push(error.to_string()),
            }
        }
        Err(said.join("; "))
    }

    /// Machine code of a file of kernels for an architecture: `sm_90`.
    ///
    /// # Errors
    /// The compiler's messages.
    pub fn compile(&self, source: Source, architecture: &str) -> Result<Vec<u8>, String> {
        let _alone = self
            .alone
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let text = format!(
            "#include \"{}\"\n#include \"{}\"\n#line 1 \"{}\"\n{}",
            DEVICE.name, COMMON.name, source.name, source.text
        );
        let program = self.create(source, &text)?;
        let options = [
            format!("--gpu-architecture={architecture}"),
            "--std=c++17".to_owned(),
        ]
        .map(|option| c_text(&option));
        let options = [options[0].as_ptr(), options[1].as_ptr()];
        // SAFETY: the options outlive the call.
        let done = unsafe {
            (self.library.nvrtcCompileProgram)(program, options.len() as i32, options.as_ptr())
        };
        let made = match done {
            nvrtcResult::NVRTC_SUCCESS => Ok(self.code(program)),
            failed => Err(format!(
                "{}: {failed:?}: {}",
                source.name,
                self.log(program)
            )),
        };
        let mut program = program;
        // SAFETY: made above and destroyed once.
        unsafe { (self.library.nvrtcDestroyProgram)(&raw mut program) };
        made
    }

    fn create(&self, source: Source, text: &str) -> Result<nvrtcProgram, String> {
        let [text, name] = [text, source.name].map(c_text);
        let headers = [DEVICE, COMMON].map(|header| (c_text(header.text), c_text(header.name)));
        let texts = headers.each_ref().map(|(text, _)| text.as_ptr());
        let names = headers.each_ref().map(|(_, name)| name.as_ptr());
        let mut program = std::ptr::null_mut();
        // SAFETY: all texts outlive the call, which copies them.
        let made = unsafe {
            (self.library.nvrtcCreateProgram)(
                &raw mut program,
                text.as_ptr(),
                name.as_ptr(),
                texts.len() as i32,
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        match made {
            nvrtcResult::NVRTC_SUCCESS => Ok(program),
            failed => Err(format!("{failed:?}")),
        }
    }

    fn code(&self, program: nvrtcProgram) -> Vec<u8> {
        let mut size = 0;
        // SAFETY: writes the size, then as many bytes.
        unsafe {
            (self.library.nvrtcGetCUBINSize)(program, &raw mut size);
            let mut code = vec![0u8; size];
            (self.library.nvrtcGetCUBIN)(program, code.as_mut_ptr().cast::<c_char>());
            code
        }
    }

    fn log(&self, program: nvrtcProgram) -> String {
        let mut size = 0;
        // SAFETY: writes the size, then as many bytes with a zero at the end.
        let mut text = unsafe {
            (self.library.nvrtcGetProgramLogSize)(program, &raw mut size);
            let mut text = vec![0u8; size];
            (self.library.nvrtcGetProgramLog)(program, text.as_mut_ptr().cast::<c_char>());
            text
        };
        text.pop();
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

fn c_text(text: &str) -> CString {
    CString::new(text).expect("no source or option of ours has a zero byte")
}
