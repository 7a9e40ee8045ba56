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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_panic_is_told_as_our_fault() {
        let told = Arc::new(Mutex::new(None));
        let teller = Arc::clone(&told);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            *teller.lock().unwrap() = Some(describe(panic))
        }));
        let result = std::panic::catch_unwind(|| panic!("the {} is broken", "invariant"));
        std::panic::set_hook(before);
        assert!(result.is_err());
        let failure = told.lock().unwrap().take().unwrap();
        assert_eq!(failure.exit, Exit::Machine);
        let text = failure.diagnostics[0].text(false);
        assert!(
            text.contains("not of yours") && text.contains("the invariant is broken at "),
            "{text}"
        );
        assert!(text.contains("fault.rs"), "{text}");
    }
}
