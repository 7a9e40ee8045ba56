//! Figures as people read them: bytes in binary units, seconds in fitting ones, counts with separators.

/// `1.9 GiB`, `640 MiB`, `12 B`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `1.24 s`, `830 ms`, `41 min`, `3 h 20 min`, `75 days`.
pub fn seconds(value: f64) -> String {
    match value {
        v if !v.is_finite() => "unknown".to_owned(),
        v if v < 1e-3 => format!("{:.0} µs", v * 1e6),
        v if v < 1.0 => format!("{:.0} ms", v * 1e3),
        v if v < 10.0 => format!("{v:.2} s"),
        v if v < 120.0 => format!("{v:.1} s"),
        v if v < 5400.0 => format!("{:.0} min", v / 60.0),
        v if v < 48.0 * 3600.0 => {
            let minutes = (v / 60.0).round() as u64;
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
        v => format!("{:.1} days", v / 86400.0),
    }
}

/// `12,345`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant places for a loss or a norm: `5.5431`, `0.0123`, `1.2e-5`.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if !(1e-3..1e6).contains(&v) => format!("{value:.2e}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(40 << 30), "40.0 GiB");
        assert_eq!(seconds(0.83), "830 ms");
        assert_eq!(seconds(12_000.0), "3 h 20 min");
        assert_eq!(count(20_554_567_680), "20,554,567,680");
        assert_eq!(count(12), "12");
        assert_eq!(number(5.54311), "5.5431");
        assert_eq!(number(0.000_012), "1.20e-5");
    }
}
