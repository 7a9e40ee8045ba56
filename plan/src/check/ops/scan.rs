//! Signatures of the selective scan: channels in the type of activations, what makes up the state's decay in a wider one.

use crate::check::signature::Signature;

/// `(x, step, decay, write, read, skip) -> y`.
pub fn forward() -> Signature {
    read(Signature::new()).make("y", "B S C", "T")
}

/// `(dy, x, step, decay, write, read, skip; ddecay, dskip) -> (dx, dstep, dwrite, dread)`.
pub fn backward() -> Signature {
    read(Signature::new().read("dy", "B S C", "T"))
        .update("ddecay", "C N", "G")
        .update("dskip", "C", "G")
        .make("dx", "B S C", "T")
        .make("dstep", "B S C", "T")
        .make("dwrite", "B S N", "T")
        .make("dread", "B S N", "T")
}

fn read(signature: Signature) -> Signature {
    signature
        .read("x", "B S C", "T")
        .read("step", "B S C", "T")
        .read("decay", "C N", "W")
        .read("write", "B S N", "T")
        .read("read", "B S N", "T")
        .read("skip", "C", "W")
}
