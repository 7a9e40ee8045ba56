//! The text form of a plan, as readers and snapshots see it.

mod sample;

use sample::{ONE, Shape};

#[test]
fn a_plan_reads_as_a_program() {
    let plan = sample::plan(Shape {
        dp: 2,
        micro_batch: 2,
        pp: 2,
        tp: 2,
        zero: 1,
        ..ONE
    });
    insta::assert_snapshot!(pleach_plan::text::write(&plan));
}
