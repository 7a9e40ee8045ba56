//! NCCL: one communicator for each group of ranks, queued on streams, never waited for by the host.
//!
//! The library is the one that libtorch's CUDA back end has loaded. Communicators do not block: a call that others must answer is asked for
//! until its deadline, then aborted.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cudarc::nccl::sys::{
    Lib, ncclComm_t, ncclConfig_t, ncclDataType_t, ncclRedOp_t, ncclResult_t, ncclUniqueId,
};
use pleach_plan::Reduce;
use tch::{Kind, TchError, Tensor};

use super::cuda::{self, Stream};
use super::{Result, version};

/// The library's name as PyTorch ships it; the bindings would look for others.
pub const LIBRARY: &str = "libnccl.so.2";
/// The oldest whose symbols the bindings know.
const OLDEST: c_int = 22_800;
/// Marks a field of a configuration that is not set.
const UNSET: c_int = c_int::MIN;
/// Marks a configuration.
const MAGIC: u32 = 0xcafe_beef;
/// Between two questions whether a call has been taken.
const PAUSE: Duration = Duration::from_micros(50);

/// The library, opened once.
///
/// # Errors
/// Where it was looked for, or its version.
pub fn library() -> std::result::Result<&'static Lib, String> {
    static LIBRARY: OnceLock<std::result::Result<Lib, String>> = OnceLock::new();
    LIBRARY.get_or_init(find).as_ref().map_err(String::clone)
}

/// Where it may be, likeliest first: loaded already, beside libtorch, wherever the loader looks.
fn places() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let loaded = maps.lines().find(|line| line.ends_with(LIBRARY));
    let loaded = loaded.and_then(|line| line.find('/').map(|start| line[start..].into()));
    let tree = version::library();
    let tree = tree
        .as_deref()
        .and_then(|library| library.ancestors().nth(3));
    let beside = tree.map(|tree| tree.join("nvidia/nccl/lib").join(LIBRARY));
    let named = Some(PathBuf::from(LIBRARY));
    [loaded, beside, named].into_iter().flatten().collect()
}

fn find() -> std::result::Result<Lib, String> {
    let mut said = Vec::new();
    for path in places() {
        match open(&path) {
            Ok(library) => return Ok(library),
            Err(text) => said.push(text),
        }
    }
    Err(said.join("; "))
}

fn open(path: &Path) -> std::result::Result<Lib, String> {
    let handle = cuda::open(path)?;
    // The bindings panic where a symbol is missing, so the version is asked for first.
    // SAFETY: the symbol, where it is there, is this function of NCCL's interface.
    let found = unsafe {
        let symbol = libc::dlsym(handle, c"ncclGetVersion".as_ptr());
        if symbol.is_null() {
            return Err(format!("{} is no NCCL", path.display()));
        }
        let ask: unsafe extern "C" fn(*mut c_int) -> ncclResult_t = std::mem::transmute(symbol);
        let mut found = 0;
        ask(&raw mut found);
        found
    };
    if found < OLDEST {
        return Err(format!(
            "{} is NCCL {found}, {OLDEST} is wanted",
            path.display()
        ));
    }
    // SAFETY: a library of this version has the symbols.
    unsafe { Lib::new(path) }.map_err(|error| error.to_string())
}

/// What the members of one communicator know each other by.
pub type Id = [u8; 128];

/// Makes a name for a communicator, on one of its members.
///
/// # Errors
/// NCCL's text.
pub fn new_id(library: &Lib) -> Result<Id> {
    let mut id = ncclUniqueId { internal: [0; 128] };
    // SAFETY: writes the name.
    said(library, None, unsafe {
        (library.ncclGetUniqueId)(&raw mut id)
    })?;
    Ok(id.internal.map(c_char::cast_unsigned))
}

/// Members of a group that talk through NCCL.
pub struct Comm {
    library: &'static Lib,
    raw: ncclComm_t,
    deadline: Duration,
}

// SAFETY: used by one thread at a time, which `Sync` alone would change.
unsafe impl Send for Comm {}

impl Comm {
    /// Joins the communicator of a name; the device must be this thread's.
    ///
    /// # Errors
    /// A member did not come before the deadline.
    pub fn join(
        library: &'static Lib,
        id: &Id,
        [rank, size]: [u32; 2],
        deadline: Duration,
    ) -> Result<Self> {
        let id = ncclUniqueId {
            internal: id.map(u8::cast_signed),
        };
        let mut config = configuration();
        let mut comm = Comm {
            library,
            raw: std::ptr::null_mut(),
            deadline,
        };
        // SAFETY: the communicator is written; the configuration is copied.
        let begun = unsafe {
            (library.ncclCommInitRankConfig)(
                &raw mut comm.raw,
                size as c_int,
                id,
                rank as c_int,
                &raw mut config,
            )
        };
        comm.settle(begun)?;
        Ok(comm)
    }

    /// Waits until a call that others must answer has been taken.
    fn settle(&self, begun: ncclResult_t) -> Result<()> {
        let (end, mut state) = (Instant::now() + self.deadline, begun);
        while state == ncclResult_t::ncclInProgress {
            if Instant::now() > end {
                return Err(TchError::Torch(format!(
                    "NCCL: the others did not answer within {:.0} s",
                    self.deadline.as_secs_f64()
                )));
            }
            std::thread::sleep(PAUSE);
            state = self.state()?;
        }
        said(self.library, Some(self.raw), state)
    }

    fn state(&self) -> Result<ncclResult_t> {
        let mut state = ncclResult_t::ncclSuccess;
        // SAFETY: writes one word.
        let asked = unsafe { (self.library.ncclCommGetAsyncError)(self.raw, &raw mut state) };
        said(self.library, Some(self.raw), asked)?;
        Ok(state)
    }

    /// An error of what was queued, where NCCL has found one.
    ///
    /// # Errors
    /// That.
    pub fn check(&self) -> Result<()> {
        match self.state()? {
            ncclResult_t::ncclInProgress => Ok(()),
            state => said(self.library, Some(self.raw), state),
        }
    }

    /// Queues the combination of the dense `x` over the members, in place.
    ///
    /// # Errors
    /// NCCL's text.
    pub fn all_reduce(&self, x: &Tensor, reduce: Reduce, stream: &Stream) -> Result<()> {
        let op = match reduce {
            Reduce::Sum => ncclRedOp_t::ncclSum,
            Reduce::Max => ncclRedOp_t::ncclMax,
        };
        let (place, count, kind) = flat(x)?;
        // SAFETY: the tensor's memory is given out again in the order of its stream only, which waits for this one.
        self.settle(unsafe {
            (self.library.ncclAllReduce)(place, place, count, kind, op, self.raw, handle(stream))
        })
    }

    /// Queues the collection of each member's `own` into `joined[member]`.
    ///
    /// # Errors
    /// NCCL's text.
    pub fn all_gather(&self, own: &Tensor, joined: &Tensor, stream: &Stream) -> Result<()> {
        let ((from, count, kind), (to, _, _)) = (flat(own)?, flat(joined)?);
        // SAFETY: as above; `joined` has room for all members, as the caller made it.
        self.settle(unsafe {
            (self.library.ncclAllGather)(from, to, count, kind, self.raw, handle(stream))
        })
    }

    /// Queues the sum over the members of `pieces[this member]` into `own`.
    ///
    /// # Errors
    /// NCCL's text.
    pub fn reduce_scatter(&self, pieces: &Tensor, own: &Tensor, stream: &Stream) -> Result<()> {
        let ((from, _, _), (to, count, kind)) = (flat(pieces)?, flat(own)?);
        let op = ncclRedOp_t::ncclSum;
        // SAFETY: as above.
        self.settle(unsafe {
            (self.library.ncclReduceScatter)(from, to, count, kind, op, self.raw, handle(stream))
        })
    }

    /// Queues sending `x` to a member.
    ///
    /// # Errors
    /// NCCL's text.
    pub fn send(&self, x: &Tensor, member: u32, stream: &Stream) -> Result<()> {
        let (place, count, kind) = flat(x)?;
        let member = member as c_int;
        // SAFETY: as above.
        self.settle(unsafe {
            (self.library.ncclSend)(place, count, kind, member, self.raw, handle(stream))
        })
    }

    /// Queues receiving into `x` what a member sends.
    ///
    /// # Errors
    /// NCCL's text.
    pub fn receive(&self, x: &Tensor, member: u32, stream: &Stream) -> Result<()> {
        let (place, count, kind) = flat(x)?;
        let member = member as c_int;
        // SAFETY: as above.
        self.settle(unsafe {
            (self.library.ncclRecv)(place, count, kind, member, self.raw, handle(stream))
        })
    }

    /// Ends whatever is under way, on this side; the others find out.
    pub fn abort(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: the communicator is alive and not used again.
            unsafe { (self.library.ncclCommAbort)(self.raw) };
            self.raw = std::ptr::null_mut();
        }
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        self.abort();
    }
}

fn configuration() -> ncclConfig_t {
    ncclConfig_t {
        size: size_of::<ncclConfig_t>(),
        magic: MAGIC,
        version: OLDEST.unsigned_abs(),
        blocking: 0,
        cgaClusterSize: UNSET,
        minCTAs: UNSET,
        maxCTAs: UNSET,
        netName: std::ptr::null(),
        splitShare: UNSET,
        trafficClass: UNSET,
        commName: std::ptr::null(),
        collnetEnable: UNSET,
        CTAPolicy: UNSET,
        shrinkShare: UNSET,
        nvlsCTAs: UNSET,
        nChannelsPerNetPeer: UNSET,
        nvlinkCentricSched: UNSET,
    }
}

fn handle(stream: &Stream) -> *mut cudarc::nccl::sys::CUstream_st {
    stream.handle().cast()
}

/// Place, number and type of a dense tensor's elements.
fn flat(x: &Tensor) -> Result<(*mut c_void, usize, ncclDataType_t)> {
    let kind = match x.kind() {
        Kind::Float => ncclDataType_t::ncclFloat32,
        Kind::Double => ncclDataType_t::ncclFloat64,
        Kind::Half => ncclDataType_t::ncclFloat16,
        Kind::BFloat16 => ncclDataType_t::ncclBfloat16,
        Kind::Int64 => ncclDataType_t::ncclInt64,
        other => return Err(TchError::Kind(format!("NCCL does not carry {other:?}"))),
    };
    match x.is_contiguous() && x.device().is_cuda() {
        true => Ok((x.data_ptr(), x.numel(), kind)),
        false => Err(TchError::Shape(
            "NCCL carries dense tensors of a device".to_owned(),
        )),
    }
}

/// NCCL's words for a failure.
fn said(library: &Lib, comm: Option<ncclComm_t>, result: ncclResult_t) -> Result<()> {
    if matches!(
        result,
        ncclResult_t::ncclSuccess | ncclResult_t::ncclInProgress
    ) {
        return Ok(());
    }
    let text = |place: *const c_char| match place.is_null() {
        true => String::new(),
        // SAFETY: a text of the library, which stays.
        false => unsafe { CStr::from_ptr(place) }
            .to_string_lossy()
            .trim()
            .to_owned(),
    };
    // SAFETY: both calls only look.
    let (name, more) = unsafe {
        let more = comm.map(|comm| (library.ncclGetLastError)(comm));
        (
            (library.ncclGetErrorString)(result),
            more.unwrap_or(std::ptr::null()),
        )
    };
    Err(TchError::Torch(
        format!("NCCL: {} {}", text(name), text(more))
            .trim()
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_is_told_and_nothing_panics() {
        let text = open(Path::new("/nowhere/libnccl.so.2")).err().unwrap();
        assert!(text.contains("/nowhere/libnccl.so.2"), "{text}");
        let text = open(Path::new("libc.so.6")).err().unwrap();
        assert!(text.contains("is no NCCL"), "{text}");
        assert!(
            flat(&Tensor::from_slice(&[1.0])).is_err(),
            "the CPU's tensors are Gloo's"
        );
        assert_eq!(size_of_val(&configuration()), configuration().size);
    }
}
