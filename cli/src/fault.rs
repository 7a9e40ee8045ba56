//! Our own faults: a panic becomes a message that says it is not the reader's fault, and exit code 2.

use std::panic::PanicHookInfo;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::screen::Screen;

/// Replaces the panic message; the caller turns the unwinding into an exit code.
pub fn install_hook(json: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        let screen = Screen::new(&Global {
            json,
            ..Global::default()
        });
        screen.failure(&describe(panic));
        screen.finish();
    }));
}

fn describe(panic: &PanicHookInfo<'_>) -> Failure {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    let said = text
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".into());
    let place = panic.location().map_or_else(String::new, |location| {
        format!(" at {}:{}", location.file(), location.line())
    });
    Failure::machine(
        "pleach::fault",
        format!(
            "this is a fault of pleach {}, not of yours",
            env!("CARGO_PKG_VERSION")
        ),
    )
    .detail(format!("{said}{place}"))
    .help("report it with these lines and the spec's hash (`pleach hash FILE`)")
}
