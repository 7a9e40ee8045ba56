//! Data as other programs see it: token files that they wrote, and ours in their hands.

mod data {
    pub mod megatron;
}
