//! Kernels on the device of this process: compiled for it when first wanted, kept, and queued on libtorch's own stream.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int, c_void};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use cudarc::driver::sys::{self as driver, CUdevice_attribute, CUresult};
use tch::TchError;

use super::compile::Compiler;
use super::{Call, Launch, Source, VARIABLE};
use crate::native::{Result, cuda};

/// The driver's library.
const DRIVER: &str = "libcuda.so.1";
/// The oldest driver whose interface the bindings know.
const OLDEST: i32 = 13_000;

/// What runs kernels on this process's device.
struct Kernels {
    compiler: Compiler,
    architecture: String,
    /// libtorch's stream, as a number.
    stream: usize,
    loaded: Mutex<Loaded>,
}

/// Handles of the driver, as numbers: they live as long as the process.
#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, usize>,
    functions: HashMap<String, usize>,
}

/// What runs kernels; none on a CPU, where they are switched off, and where they cannot run, which is said once.
pub fn running() -> Option<&'static dyn Launch> {
    static RUNNING: OnceLock<Option<Kernels>> = OnceLock::new();
    let index = cuda::current()?;
    let running = RUNNING.get_or_init(|| {
        if std::env::var_os(VARIABLE).is_some_and(|value| value == "0") {
            return None;
        }
        let found = Kernels::new(index);
        found
            .inspect_err(|text| {
                crate::events::tell(&format!(
                    "note: fused kernels are not used, libtorch's own operations are: {text}"
                ));
            })
            .ok()
    });
    running.as_ref().map(|kernels| kernels as &dyn Launch)
}

impl Kernels {
    fn new(index: u32) -> std::result::Result<Self, String> {
        check_driver()?;
        let stream = cuda::Stream::current(index).map_err(|error| error.to_string())?;
        Ok(Self {
            compiler: Compiler::find()?,
            architecture: architecture(index)?,
            stream: stream.handle() as usize,
            loaded: Mutex::default(),
        })
    }

    /// The handle of a kernel, compiled and loaded where it is not yet.
    fn function(&self, source: Source, name: &str) -> std::result::Result<usize, String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&known) = loaded.functions.get(name) {
            return Ok(known);
        }
        let module = match loaded.modules.get(source.name) {
            Some(&known) => known,
            None => {
                let code = self.compiler.compile(source, &self.architecture)?;
                let module = load(&code)?;
                loaded.modules.insert(source.name, module);
                module
            }
        };
        let text = CString::new(name).map_err(|error| error.to_string())?;
        let mut function = std::ptr::null_mut();
        // SAFETY: the module is loaded for good; the name outlives the call.
        let found = unsafe {
            driver::cuModuleGetFunction(
                &raw mut function,
                module as driver::CUmodule,
                text.as_ptr(),
            )
        };
        said(found, name)?;
        loaded.functions.insert(name.to_owned(), function as usize);
        Ok(function as usize)
    }
}

impl Launch for Kernels {
    fn launch(&self, call: &Call<'_>) -> Result<()> {
        let function = self
            .function(call.source, call.name)
            .map_err(TchError::Torch)?;
        let mut structure = call.words.as_ptr().cast::<c_void>().cast_mut();
        let [width, height] = call.grid;
        // SAFETY: the kernel takes one structure of as many words, which is copied; its pointers are of tensors that the caller
        // holds, and whose memory is given out again in the order of this stream only.
        let queued = unsafe {
            driver::cuLaunchKernel(
                function as driver::CUfunction,
                width,
                height,
                1,
                call.threads,
                1,
                1,
                0,
                self.stream as driver::CUstream,
                &raw mut structure,
                std::ptr::null_mut(),
            )
        };
        said(queued, call.name).map_err(TchError::Torch)
    }
}

/// The driver's library must be there and new enough before the bindings ask it anything: they panic where a symbol is missing.
fn check_driver() -> std::result::Result<(), String> {
    let library = cuda::open(Path::new(DRIVER))?;
    // SAFETY: the name is a constant, and the symbol, where it is there, is this function of the driver's interface.
    let version = unsafe {
        let symbol = libc::dlsym(library, c"cuDriverGetVersion".as_ptr());
        if symbol.is_null() {
            return Err(format!("{DRIVER} is no driver"));
        }
        let ask: unsafe extern "C" fn(*mut c_int) -> c_int = std::mem::transmute(symbol);
        let mut version = 0;
        ask(&raw mut version);
        version
    };
    if version >= OLDEST {
        return Ok(());
    }
    Err(format!(
        "the driver is for CUDA {}.{}, 13.0 is wanted",
        version / 1000,
        version % 1000 / 10
    ))
}

/// The architecture of a device: `sm_90`.
fn architecture(index: u32) -> std::result::Result<String, String> {
    use CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let mut device = 0;
    // SAFETY: writes one number; the driver was begun by libtorch.
    said(
        unsafe { driver::cuDeviceGet(&raw mut device, index as c_int) },
        "cuDeviceGet",
    )?;
    let mut parts = [0, 0];
    for (part, attribute) in parts.iter_mut().zip([MAJOR, MINOR]) {
        // SAFETY: writes one number.
        let asked = unsafe { driver::cuDeviceGetAttribute(part, attribute, device) };
        said(asked, "cuDeviceGetAttribute")?;
    }
    Ok(format!("sm_{}{}", parts[0], parts[1]))
}

fn load(code: &[u8]) -> std::result::Result<usize, String> {
    let mut module = std::ptr::null_mut();
    // SAFETY: the code is whole and is copied to the device; the current context is libtorch's, made when the device was begun.
    said(
        unsafe { driver::cuModuleLoadData(&raw mut module, code.as_ptr().cast()) },
        "cuModuleLoadData",
    )?;
    Ok(module as usize)
}

/// The driver's words for a failure.
fn said(result: CUresult, what: &str) -> std::result::Result<(), String> {
    if result == CUresult::CUDA_SUCCESS {
        return Ok(());
    }
    let mut text = std::ptr::null();
    // SAFETY: writes a pointer to a constant, or null.
    let text = unsafe {
        driver::cuGetErrorString(result, &raw mut text);
        match text.is_null() {
            true => "an unknown error".into(),
            false => CStr::from_ptr(text).to_string_lossy(),
        }
    };
    Err(format!("{what}: {text} ({result:?})"))
}
