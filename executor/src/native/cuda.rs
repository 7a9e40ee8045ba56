//! The CUDA back end: found beside the loaded libtorch, opened at run time, and asked through libtorch's device-generic interfaces.
//!
//! Nothing of CUDA is linked. The library must be opened before anybody asks libtorch about CUDA, since it remembers a no. What a
//! machine lacks comes back as a [`Missing`], one sentence each.

use std::ffi::{CStr, CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::{Result, check, version};

#[repr(C)]
struct RawStream(c_void);
#[repr(C)]
struct RawEvent(c_void);

unsafe extern "C" {
    fn pleach_device_count(count: *mut c_int) -> c_int;
    fn pleach_device_set(index: c_int) -> c_int;
    fn pleach_device_deterministic() -> c_int;
    fn pleach_device_synchronize(index: c_int) -> c_int;
    fn pleach_device_memory(
        index: c_int,
        free: *mut u64,
        total: *mut u64,
        live: *mut u64,
        peak: *mut u64,
        reserved: *mut u64,
    ) -> c_int;
    fn pleach_device_reset_peak(index: c_int) -> c_int;
    fn pleach_stream_open(index: c_int, own: c_int, out: *mut *mut RawStream) -> c_int;
    fn pleach_stream_handle(stream: *mut RawStream) -> *mut c_void;
    fn pleach_stream_close(stream: *mut RawStream);
    fn pleach_event_open(timed: c_int, out: *mut *mut RawEvent) -> c_int;
    fn pleach_event_record(event: *mut RawEvent, stream: *mut RawStream) -> c_int;
    fn pleach_event_block(event: *mut RawEvent, stream: *mut RawStream) -> c_int;
    fn pleach_event_reached(event: *mut RawEvent, reached: *mut c_int) -> c_int;
    fn pleach_event_elapsed(
        from: *mut RawEvent,
        to: *mut RawEvent,
        milliseconds: *mut f64,
    ) -> c_int;
    fn pleach_event_close(event: *mut RawEvent);
}

/// The library that brings the back end.
pub const LIBRARY: &str = "libtorch_cuda.so";

/// Why there is no device to compute on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The loaded libtorch is one for the CPU.
    #[error("{} is not there: the libtorch that the worker has loaded is for the CPU alone", .0.display())]
    Library(PathBuf),
    /// The library cannot be opened.
    #[error("{} cannot be opened: {text}", path.display())]
    Unopened {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        text: String,
    },
    /// No driver, or no device that it shows.
    #[error("the CUDA driver shows no device ({0})")]
    NoDevice(String),
    /// Fewer devices than ranks of this machine.
    #[error("this is local rank {rank}, and the machine shows {}", devices(*count))]
    TooFew {
        /// The rank among those of its machine.
        rank: u32,
        /// Devices.
        count: u32,
    },
    /// The device does not begin to work.
    #[error("device {index} cannot be used: {text}")]
    Broken {
        /// Its number.
        index: u32,
        /// libtorch's text.
        text: String,
    },
}

fn devices(count: u32) -> String {
    match count {
        1 => "one device".to_owned(),
        count => format!("{count} devices"),
    }
}

/// Opens the back end, once for the process.
///
/// # Errors
/// What is missing.
pub fn load() -> std::result::Result<(), Missing> {
    static OPENED: OnceLock<std::result::Result<(), Missing>> = OnceLock::new();
    OPENED.get_or_init(open_library).clone()
}

fn open_library() -> std::result::Result<(), Missing> {
    let beside = version::library().and_then(|own| own.parent().map(|lib| lib.join(LIBRARY)));
    let path = beside.unwrap_or_else(|| PathBuf::from(LIBRARY));
    if !path.exists() {
        return Err(Missing::Library(path));
    }
    open(&path)
        .map(drop)
        .map_err(|text| Missing::Unopened { path, text })
}

/// Opens a library for good, its symbols for all; answers its handle.
///
/// # Errors
/// The loader's text.
pub fn open(path: &std::path::Path) -> std::result::Result<*mut c_void, String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the name outlives the call; what the library does when it is loaded is what linking it would do.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: after a failure there is a text, which belongs to this thread until its next call.
    let text = unsafe { CStr::from_ptr(libc::dlerror()) };
    Err(text.to_string_lossy().into_owned())
}

/// Devices of this machine, of the opened back end.
///
/// # Errors
/// libtorch's text, where the back end was not opened.
pub fn count() -> Result<u32> {
    let mut found = 0;
    // SAFETY: writes one number.
    check(unsafe { pleach_device_count(&raw mut found) })?;
    Ok(u32::try_from(found).unwrap_or(0))
}

/// Opens the back end and makes the device of a rank of this machine the calling thread's.
///
/// # Errors
/// What is missing.
pub fn begin(local_rank: u32) -> std::result::Result<u32, Missing> {
    load()?;
    let count = count().map_err(|error| Missing::NoDevice(super::essence(&error.to_string())))?;
    if count == 0 {
        return Err(Missing::NoDevice(driver()));
    }
    if local_rank >= count {
        return Err(Missing::TooFew {
            rank: local_rank,
            count,
        });
    }
    // SAFETY: a number that the back end checks.
    let set = check(unsafe { pleach_device_set(number(local_rank)) });
    set.map_err(|error| Missing::Broken {
        index: local_rank,
        text: super::essence(&error.to_string()),
    })?;
    let _ = DEVICE.set(local_rank);
    Ok(local_rank)
}

/// What the system says of the driver.
fn driver() -> String {
    let version = std::fs::read_to_string("/proc/driver/nvidia/version");
    match version {
        Ok(text) => text.lines().next().unwrap_or_default().trim().to_owned(),
        Err(_) => "/proc/driver/nvidia/version is not there: no driver is loaded".to_owned(),
    }
}

/// The device that this process computes on, once one was begun.
static DEVICE: OnceLock<u32> = OnceLock::new();

/// The device that this process computes on; none on a CPU.
pub fn current() -> Option<u32> {
    DEVICE.get().copied()
}

/// Lets libtorch add in a fixed order, at some price, so that a repeated run gives the same bits.
///
/// # Errors
/// libtorch's text.
pub fn fix_order() -> Result<()> {
    // SAFETY: sets two flags.
    check(unsafe { pleach_device_deterministic() })
}

/// Waits until this process's device has done everything that it was given; on a CPU there is nothing to wait for.
///
/// # Errors
/// A kernel failed.
pub fn synchronize() -> Result<()> {
    match current() {
        // SAFETY: a number that was set before.
        Some(index) => check(unsafe { pleach_device_synchronize(number(index)) }),
        None => Ok(()),
    }
}

/// Bytes of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Given to nobody.
    pub free: u64,
    /// In all.
    pub total: u64,
    /// Asked for by tensors that live.
    pub live: u64,
    /// The most of that.
    pub peak: u64,
    /// The most that libtorch took from the device.
    pub reserved: u64,
}

/// What a device and libtorch's allocator on it hold.
///
/// # Errors
/// libtorch's text.
pub fn memory(index: u32) -> Result<Memory> {
    let mut found = Memory::default();
    // SAFETY: writes five numbers.
    check(unsafe {
        pleach_device_memory(
            number(index),
            &raw mut found.free,
            &raw mut found.total,
            &raw mut found.live,
            &raw mut found.peak,
            &raw mut found.reserved,
        )
    })?;
    Ok(found)
}

/// Begins to look for the most bytes anew.
///
/// # Errors
/// libtorch's text.
pub fn reset_peak(index: u32) -> Result<()> {
    // SAFETY: a number that the back end checks.
    check(unsafe { pleach_device_reset_peak(number(index)) })
}

/// A queue of a device's work.
pub struct Stream(*mut RawStream);

// SAFETY: a stream is a name; only its handle is used from elsewhere.
unsafe impl Send for Stream {}

impl Stream {
    /// The stream that libtorch's operations go to.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn current(index: u32) -> Result<Stream> {
        Self::open(index, false)
    }

    /// Another stream, out of libtorch's pool.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn another(index: u32) -> Result<Stream> {
        Self::open(index, true)
    }

    fn open(index: u32, own: bool) -> Result<Stream> {
        let mut stream = std::ptr::null_mut();
        // SAFETY: written on success only.
        check(unsafe { pleach_stream_open(number(index), c_int::from(own), &raw mut stream) })?;
        Ok(Stream(stream))
    }

    /// CUDA's own handle of it.
    pub fn handle(&self) -> *mut c_void {
        // SAFETY: the stream is alive.
        unsafe { pleach_stream_handle(self.0) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: came from the shim and is closed once.
        unsafe { pleach_stream_close(self.0) }
    }
}

/// A point in a stream's work.
pub struct Event(*mut RawEvent);

// SAFETY: used by one thread at a time, which `Sync` alone would change.
unsafe impl Send for Event {}

impl Event {
    /// An event to wait for.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn new() -> Result<Event> {
        Self::open(false)
    }

    /// An event whose time is taken.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn timed() -> Result<Event> {
        Self::open(true)
    }

    fn open(timed: bool) -> Result<Event> {
        let mut event = std::ptr::null_mut();
        // SAFETY: written on success only.
        check(unsafe { pleach_event_open(c_int::from(timed), &raw mut event) })?;
        Ok(Event(event))
    }

    /// Marks what a stream was given so far.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both are alive.
        check(unsafe { pleach_event_record(self.0, stream.0) })
    }

    /// Lets a stream wait for it; the host goes on.
    ///
    /// # Errors
    /// libtorch's text.
    pub fn hold(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both are alive.
        check(unsafe { pleach_event_block(self.0, stream.0) })
    }

    /// Whether it has been reached; asks, and never waits.
    ///
    /// # Errors
    /// A kernel before it failed.
    pub fn is_reached(&self) -> Result<bool> {
        let mut reached = 0;
        // SAFETY: writes one number.
        check(unsafe { pleach_event_reached(self.0, &raw mut reached) })?;
        Ok(reached != 0)
    }

    /// Seconds from an earlier event to this one, which it waits for.
    ///
    /// # Errors
    /// A kernel failed, or one was not made to be timed.
    pub fn seconds_since(&self, earlier: &Event) -> Result<f64> {
        let mut milliseconds = 0.0;
        // SAFETY: both are alive; writes one number.
        check(unsafe { pleach_event_elapsed(earlier.0, self.0, &raw mut milliseconds) })?;
        Ok(milliseconds / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: came from the shim and is closed once.
        unsafe { pleach_event_close(self.0) }
    }
}

fn number(index: u32) -> c_int {
    c_int::try_from(index).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the loaded libtorch has the back end, the machine may have no device; both are said, and nothing panics.
    #[test]
    fn what_is_missing_is_named() {
        let missing = match begin(1 << 20) {
            Ok(index) => panic!("device {index}"),
            Err(missing) => missing,
        };
        let text = missing.to_string();
        match missing {
            Missing::Library(path) => {
                assert!(
                    path.ends_with(LIBRARY) && text.contains("for the CPU alone"),
                    "{text}"
                );
                let own = version::library();
                assert_eq!(path.parent(), own.as_deref().and_then(|own| own.parent()));
            }
            Missing::NoDevice(_) => assert!(text.contains("no device"), "{text}"),
            Missing::TooFew { count, .. } => {
                assert!(count > 0 && text.contains("1048576"), "{text}")
            }
            other => panic!("{other}"),
        }
        assert_eq!(current(), None);
    }

    #[test]
    fn a_library_that_is_none_is_told_with_the_loaders_words() {
        let error = open(std::path::Path::new("/proc/self/exe/none.so")).unwrap_err();
        assert!(error.contains("none.so"), "{error}");
    }
}
